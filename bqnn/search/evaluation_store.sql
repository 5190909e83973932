-- Schema version 1. Rows are added, never changed. Times are seconds since 1970.
CREATE TABLE evaluations (
  hash TEXT NOT NULL,         -- canonical, of the block
  seed INTEGER NOT NULL,      -- of its training
  setting TEXT NOT NULL,      -- JSON: network, recipe, images, versions
  device TEXT NOT NULL,
  status TEXT NOT NULL,       -- ok or diverged
  accuracy TEXT NOT NULL,     -- JSON: on the validation part, after each epoch
  restarts INTEGER NOT NULL,
  error TEXT NOT NULL,
  source TEXT NOT NULL,       -- work directory, batch and slot
  time REAL NOT NULL,
  PRIMARY KEY (hash, seed, setting, device)
);

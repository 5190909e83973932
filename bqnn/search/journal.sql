-- Schema version 6. Facts are added, never changed. Times are seconds since 1970.
CREATE TABLE IF NOT EXISTS run (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  config TEXT NOT NULL,       -- JSON, whole
  images TEXT NOT NULL,       -- JSON: height, width, channels, num_classes
  fingerprint TEXT NOT NULL,  -- of the training and validation images
  versions TEXT NOT NULL,     -- JSON
  time REAL NOT NULL
);
-- From version 3 on: results of earlier searches, told before the first batch in
-- batches of search.batch, in the order of their numbers.
CREATE TABLE IF NOT EXISTS learnt (
  number INTEGER PRIMARY KEY, -- from 0
  workdir TEXT NOT NULL,      -- of the earlier search, as --learn_from named it
  iteration INTEGER NOT NULL, -- there
  slot INTEGER NOT NULL,      -- there
  block TEXT NOT NULL,        -- NSC
  hash TEXT NOT NULL,         -- canonical
  seed INTEGER NOT NULL,      -- of its training there
  flops TEXT NOT NULL,        -- as in candidates: of this search's network
  edges INTEGER NOT NULL,
  nodes INTEGER NOT NULL,
  params TEXT NOT NULL,
  network_flops TEXT NOT NULL,
  accuracy TEXT NOT NULL,     -- JSON: on the validation part, after each epoch
  -- From version 5 on: JSON, as in candidates.
  latency TEXT NOT NULL DEFAULT 'null'
);
-- From version 3 on: the agent after it was told them, if there are any.
CREATE TABLE IF NOT EXISTS warm_start (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  digest TEXT NOT NULL,       -- sha256 of the agent's state
  evidence TEXT NOT NULL,     -- sha256 of all that it was told
  time REAL NOT NULL
);
-- From version 3 on: blocks that take the first slots instead of the agent's own.
CREATE TABLE IF NOT EXISTS tried_first (
  number INTEGER PRIMARY KEY, -- from 0: iteration number / search.batch
  block TEXT NOT NULL         -- NSC
);
CREATE TABLE IF NOT EXISTS asks (
  iteration INTEGER PRIMARY KEY,
  told INTEGER NOT NULL,      -- batches the agent had been told when it was asked
  epsilon REAL NOT NULL,
  time REAL NOT NULL,
  -- From version 4 on: JSON, [epoch, accuracy to reach, mean gain after it] of each rung.
  rungs TEXT NOT NULL DEFAULT '[]',
  -- From version 5 on: JSON, the accuracy from which on a candidate is trained again, or null.
  repeat_from TEXT NOT NULL DEFAULT 'null'
);
CREATE TABLE IF NOT EXISTS candidates (
  iteration INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  block TEXT NOT NULL,        -- NSC
  hash TEXT NOT NULL,         -- canonical
  seed INTEGER NOT NULL,
  flops TEXT NOT NULL,        -- of the block; TEXT where 64 bits may not do
  edges INTEGER NOT NULL,
  nodes INTEGER NOT NULL,
  params TEXT NOT NULL,       -- of the network
  network_flops TEXT NOT NULL,
  -- From version 5 on: JSON, nanoseconds of the network for an image, or null.
  latency TEXT NOT NULL DEFAULT 'null',
  -- From version 6 on: JSON, the draw of its batch that gave it, from 0.
  draw TEXT NOT NULL DEFAULT '0',
  PRIMARY KEY (iteration, slot)
);
CREATE INDEX IF NOT EXISTS candidates_by_hash ON candidates (hash);
CREATE TABLE IF NOT EXISTS evaluations (
  iteration INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  attempt INTEGER NOT NULL,   -- from 1
  status TEXT NOT NULL,
  accuracy TEXT NOT NULL,     -- JSON: on the validation part, after each epoch
  restarts INTEGER NOT NULL,
  seconds TEXT NOT NULL,      -- JSON, by phase
  device TEXT NOT NULL,
  worker TEXT NOT NULL,
  error TEXT NOT NULL,
  time REAL NOT NULL,
  -- From version 3 on: of a reused result, the other search that found it.
  source TEXT NOT NULL DEFAULT '',
  -- From version 5 on: JSON, last accuracies of trainings by other seeds.
  repeats TEXT NOT NULL DEFAULT '[]',
  PRIMARY KEY (iteration, slot, attempt)
);
-- From version 4 on: rounds of full trainings, from which the reward is learnt. Their
-- candidates have the iterations beyond the schedule, and hashes of their own.
CREATE TABLE IF NOT EXISTS rounds (
  number INTEGER PRIMARY KEY, -- from 0
  told INTEGER NOT NULL,      -- batches told before it
  time REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS fits (
  number INTEGER PRIMARY KEY, -- of the round that has ended
  fit TEXT NOT NULL,          -- JSON (search/calibration.py); null if too few were trained
  digest TEXT NOT NULL,       -- sha256 of the agent's state, told all by the new reward
  time REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS tells (
  number INTEGER PRIMARY KEY,
  places TEXT NOT NULL,       -- JSON: [iteration, slot] in the order told
  digest TEXT NOT NULL,       -- sha256 of the agent's state afterwards; HASH:changes, from
                              -- version 2 on, of what is new in it (search/digests.py)
  evidence TEXT NOT NULL,     -- sha256 of the candidates told and their evaluations
  time REAL NOT NULL
);

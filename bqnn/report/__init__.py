"""Reports: progress, tables, drawings and pages, made from events and journals."""

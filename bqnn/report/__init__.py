"""What people look at: progress, tables and drawings, made from events and blocks."""

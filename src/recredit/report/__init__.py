"""Pictures and tables: they read results, and never train."""

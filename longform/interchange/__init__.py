"""Feature files of other projects, read into a bank and written from one."""

"""What developers may do to a local system that nobody may do to a real one."""

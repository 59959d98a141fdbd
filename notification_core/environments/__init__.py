"""Which environments exist, and erasing one."""

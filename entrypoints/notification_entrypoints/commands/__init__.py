"""What the commands that run a server or maintain storage do."""

"""What is done periodically beside sending."""

"""Values and rules: nothing here awaits or knows a port."""

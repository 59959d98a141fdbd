"""The pure core: values, rules, ports and use cases. No I/O, no clock, no driver."""

"""What things are and which rules bind them: pure values, ports, no input or output."""

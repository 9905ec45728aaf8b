"""An honest CloudStack API server on loopback: what the driver is tested against. Shares no code with the driver."""

"""An honest Compute Engine: requests and replies are checked against Google's published description of the API."""

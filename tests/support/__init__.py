"""What several test folders share: requests, gateways, servers, harnesses and the agent's side of Brain."""

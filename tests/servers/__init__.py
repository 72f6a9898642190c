"""Real servers, each as its users start it, in front of the same small application in many frameworks."""

"""What is there to be tested? Servers that speak the contract, each in a package of its own."""

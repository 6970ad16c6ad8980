"""What can be typed? One module per command; `app` gathers them."""

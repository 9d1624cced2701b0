"""The round loop, the site's half of it, and the channels between them."""

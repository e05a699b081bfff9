"""Small scripts that build the book."""

"""From a body to shares on servers."""

"""A demo: an advertiser with segments, pixels and exports, and a shop's past played as fires over HTTP."""

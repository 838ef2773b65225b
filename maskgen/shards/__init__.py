"""The shards of a data set: their schema, their writers and reader, and the marker that commits them."""

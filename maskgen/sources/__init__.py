"""Where photographs come from: folder trees, tars, Parquet files and RecordIO packs, local or remote; boxes files."""

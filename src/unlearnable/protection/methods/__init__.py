"""One file per published protection; each names its paper and gives `PAPER`, the settings of that paper."""

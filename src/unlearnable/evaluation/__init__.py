"""What attackers learn, measured: the trials, rates and sources behind the audit and the benchmark."""

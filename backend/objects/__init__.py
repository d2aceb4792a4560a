"""Objects, queues and secrets of AWS, or of what speaks its protocols: the one home of boto3."""

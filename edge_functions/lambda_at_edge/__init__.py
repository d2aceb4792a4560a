"""Lambda@Edge: three handlers around CloudFront's request and response; see README.md."""

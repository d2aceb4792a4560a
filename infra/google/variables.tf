variable "project" {
  description = "Project that all of it is made in."
  type        = string
}

variable "regions" {
  description = "Regions with nodes, the nearest to the listeners; a listener is led to the nearest of them."
  type        = set(string)

  validation {
    condition     = length(var.regions) > 0
    error_message = "One region at least."
  }
}

variable "name" {
  description = "What the names of all resources start with."
  type        = string
  default     = "sonica-edge"
}

variable "domain_name" {
  description = "Name that listeners ask, such as edge.example.com; its A record is to be the output `address`."
  type        = string
}

variable "image" {
  description = "Image `edge-node` in Artifact Registry, by digest: REGION-docker.pkg.dev/PROJECT/sonica/edge-node@sha256:..."
  type        = string

  validation {
    condition     = can(regex("^[^@]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "By its digest: a tag may be another image tomorrow."
  }
}

variable "bundle_url" {
  description = "Where bundles are published: s3://bucket/prefix."
  type        = string

  validation {
    condition     = startswith(var.bundle_url, "s3://")
    error_message = "s3://bucket/prefix"
  }
}

variable "bundle_region" {
  description = "AWS region of that bucket."
  type        = string
}

variable "bundle_public_keys" {
  description = "Who may publish: what `sonica bundles keygen` prints, two separated by a comma while keys change."
  type        = string
}

variable "access_key_id_secret" {
  description = "Name of the secret in Secret Manager that has the bundle reader's AWS access key ID."
  type        = string
}

variable "secret_access_key_secret" {
  description = "Name of the secret in Secret Manager that has the bundle reader's AWS secret access key."
  type        = string
}

variable "keys_version" {
  description = "Version of both secrets; another one makes new instances, which take the new keys."
  type        = string
  default     = "1"
}

variable "origin_url" {
  description = "Whom a node asks for what its bundle does not know."
  type        = string

  validation {
    condition     = startswith(var.origin_url, "https://")
    error_message = "By https:// alone: callers' keys go there."
  }
}

variable "cpu" {
  description = "CPUs of an instance: 1, 2, 4 or 8."
  type        = number
  default     = 2
}

variable "memory" {
  description = "Memory of an instance; the downloaded bundle lies in it too."
  type        = string
  default     = "2Gi"
}

variable "instances_min" {
  description = "Instances that each region always has: one that starts must fetch its bundle first."
  type        = number
  default     = 1

  validation {
    condition     = var.instances_min >= 1
    error_message = "One at least."
  }
}

variable "instances_max" {
  description = "Instances that each region has at most; what it may cost."
  type        = number
  default     = 10

  validation {
    condition     = var.instances_max >= var.instances_min
    error_message = "No fewer than instances_min."
  }
}

variable "requests_per_instance" {
  description = "Requests that an instance has at a time before another is started."
  type        = number
  default     = 16
}

variable "requests_per_minute" {
  description = "Requests of an address in a minute; beyond, 429. Phone networks share addresses."
  type        = number
  default     = 300
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to delete the nodes."
  type        = bool
  default     = true
}

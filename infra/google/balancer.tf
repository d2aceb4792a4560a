resource "google_compute_region_network_endpoint_group" "node" {
  for_each              = google_cloud_run_v2_service.node
  name                  = each.value.name
  region                = each.value.location
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value.name
  }
}

resource "google_compute_security_policy" "listeners" {
  name = var.name

  rule {
    description = "Recognition alone; /livez and /readyz are for Cloud Run."
    priority    = 100
    action      = "deny(404)"

    match {
      expr {
        expression = "!(request.path == '/v1/recognize' || request.path == '/recognize')"
      }
    }
  }

  rule {
    description = "So many of an address."
    priority    = 200
    action      = "throttle"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute
        interval_sec = 60
      }
    }
  }

  # It must be there; the rule before it takes all that come here.
  rule {
    description = "Nothing else."
    priority    = 2147483647
    action      = "deny(403)"

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }
}

resource "google_compute_backend_service" "nodes" {
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.listeners.id

  dynamic "backend" {
    for_each = google_compute_region_network_endpoint_group.node
    content {
      group = backend.value.id
    }
  }
}

resource "google_compute_url_map" "nodes" {
  name            = var.name
  default_service = google_compute_backend_service.nodes.id
}

resource "google_compute_managed_ssl_certificate" "domain" {
  name = var.name

  managed {
    domains = [var.domain_name]
  }
}

resource "google_compute_ssl_policy" "tls" {
  name            = var.name
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "nodes" {
  name             = var.name
  url_map          = google_compute_url_map.nodes.id
  ssl_certificates = [google_compute_managed_ssl_certificate.domain.id]
  ssl_policy       = google_compute_ssl_policy.tls.id
}

resource "google_compute_global_address" "listeners" {
  name = var.name
}

# 443 alone: nothing answers at 80.
resource "google_compute_global_forwarding_rule" "https" {
  name                  = var.name
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.listeners.id
  port_range            = "443"
  target                = google_compute_target_https_proxy.nodes.id
}

output "address" {
  description = "For the A record of domain_name; the certificate is made once it points here."
  value       = google_compute_global_address.listeners.address
}

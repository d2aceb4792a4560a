locals {
  settings = {
    OMP_NUM_THREADS             = var.cpu
    PYTHON_CPU_COUNT            = var.cpu
    SONICA_AWS_REGION           = var.bundle_region
    SONICA_BUNDLE_PUBLIC_KEYS   = var.bundle_public_keys
    SONICA_BUNDLE_URL           = var.bundle_url
    SONICA_ORIGIN_URL           = var.origin_url
    SONICA_SHUTDOWN_SECONDS_MAX = 8 # Cloud Run kills 10 s after SIGTERM
  }
  secrets = {
    AWS_ACCESS_KEY_ID     = var.access_key_id_secret
    AWS_SECRET_ACCESS_KEY = var.secret_access_key_secret
  }
}

resource "google_service_account" "node" {
  account_id   = var.name
  display_name = "Sonica's edge nodes: may read the bundle reader's two secrets, and nothing else"
}

resource "google_secret_manager_secret_iam_member" "node" {
  for_each  = local.secrets
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.node.member
}

resource "google_cloud_run_v2_service" "node" {
  for_each            = var.regions
  name                = "${var.name}-${each.key}"
  location            = each.key
  ingress             = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" # by the balancer alone, not by run.app
  deletion_protection = var.deletion_protection

  template {
    service_account                  = google_service_account.node.email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "30s"
    max_instance_request_concurrency = var.requests_per_instance

    scaling {
      min_instance_count = var.instances_min
      max_instance_count = var.instances_max
    }

    # The user is the image's, 10001; Cloud Run sets none of its own.
    containers {
      image = var.image

      ports {
        container_port = 8000
      }

      resources {
        limits = {
          cpu    = var.cpu
          memory = var.memory
        }
        cpu_idle          = false # bundles are looked for between requests
        startup_cpu_boost = true
      }

      # It listens once it has tried to fetch its bundle; 240 s is the longest that Cloud Run waits.
      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 5
        failure_threshold = 48

        http_get {
          path = "/readyz"
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 6

        http_get {
          path = "/livez"
        }
      }

      dynamic "env" {
        for_each = local.settings
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.secrets
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = var.keys_version
            }
          }
        }
      }
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.node]
}

# The balancer brings no identity of its own: who may come is said by `ingress` above and by the balancer's policy.
resource "google_cloud_run_v2_service_iam_member" "balancer" {
  for_each = google_cloud_run_v2_service.node
  location = each.value.location
  name     = each.value.name
  role     = "roles/run.invoker"
  member   = "allUsers"
}

`docs/monitoring` has a dashboard for Grafana and alert rules for Prometheus.

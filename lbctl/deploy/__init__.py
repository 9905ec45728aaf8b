"""How lbctl is installed in a cluster: manifests, chart, alerts, dashboard and admission policy, as plain values."""

//! Istio, Gateway API and Kubernetes resource types with line-exact parsing and validation.

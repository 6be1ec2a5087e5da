//! One machine as a cluster: pods as processes in network namespaces.

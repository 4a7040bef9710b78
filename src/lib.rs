//! SPIFFE federation: trust domains verify each other's workloads and never issue each other's identities.

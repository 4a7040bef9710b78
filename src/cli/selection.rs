//! Naming a foreign trust domain on the command line.

use crate::spiffe::trust_domain::TrustDomain;

/// Exactly one trust domain, as an argument or as SPIRE's option.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OneDomain {
    /// Foreign trust domain, as in bank-b.example
    #[arg(value_name = "TRUST_DOMAIN", required_unless_present = "trust_domain")]
    name: Option<TrustDomain>,
    /// The same as an option
    #[arg(long, value_name = "TRUST_DOMAIN", visible_alias = "id", alias = "trustDomain", conflicts_with = "name")]
    trust_domain: Option<TrustDomain>,
}

impl OneDomain {
    pub(super) fn name(&self) -> &TrustDomain {
        self.name.as_ref().or(self.trust_domain.as_ref()).expect("clap demands one of the two")
    }
}

/// One trust domain or all of them.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AnyDomain {
    /// Foreign trust domain, as in bank-b.example; all of them without
    #[arg(value_name = "TRUST_DOMAIN")]
    name: Option<TrustDomain>,
    /// The same as an option
    #[arg(long, value_name = "TRUST_DOMAIN", visible_alias = "id", alias = "trustDomain", conflicts_with = "name")]
    trust_domain: Option<TrustDomain>,
}

impl AnyDomain {
    pub(super) fn name(&self) -> Option<&TrustDomain> {
        self.name.as_ref().or(self.trust_domain.as_ref())
    }
}

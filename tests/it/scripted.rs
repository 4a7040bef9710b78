//! The foreign trust domain `b.example`, scripted, with a certificate of a Web CA of its own.

use crate::process::Home;
use crate::support::answer::Answer;
use crate::support::ca::Ca;
use crate::support::jwks::document_of;
use crate::support::peer::Peer;

/// Serves whatever it is told under `https_web`.
pub(crate) struct Partner {
    pub(crate) peer: Peer,
    web: Ca,
}

impl Partner {
    pub(crate) async fn start() -> Self {
        let web = Ca::web("Web CA");
        Self { peer: Peer::start(&web.server("127.0.0.1")).await, web }
    }

    /// From now on, publishes these authorities under this number.
    pub(crate) fn publishes(&self, sequence: u64, authorities: &[&Ca]) {
        self.peer.answer(Answer::ok(document_of(sequence, authorities)));
    }

    /// The CA of its certificate, for `web.pem`.
    pub(crate) fn web_pem(&self) -> String {
        self.web.pem()
    }

    /// A home that federates with it; `policy` adds keys to the relationship.
    pub(crate) fn home(&self, policy: &str) -> Home {
        let home = Home::new("");
        home.write("web.pem", self.web_pem());
        home.configure(&self.relationship(policy));
        home
    }

    /// The section of the relationship, which is polled at most once an hour unless asked.
    pub(crate) fn relationship(&self, policy: &str) -> String {
        let url = self.peer.url("127.0.0.1", "/bundle");
        format!(
            r#"
[federation."b.example"]
endpoint_url = "{url}"
profile = "https_web"
root_certificates = "{{home}}/web.pem"
{policy}
"#
        )
    }
}

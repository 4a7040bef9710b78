//! The story: exchange, acceptance, forgery, rotation, revocation, replay.

use std::path::Path;
use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::relationship_view::name_of;
use crate::federation::clock::Clock;
use crate::federation::fetchers::Fetchers;
use crate::federation::published_bundle::PublishedBundle;
use crate::federation::status::RelationshipState;
use crate::federation::timestamp::Timestamp;
use crate::http::endpoint::{EndpointListener, serve_endpoint};
use crate::http::listener::{self, ListenerLimits};
use crate::http::metrics::Metrics;
use crate::http::tls::EndpointTls;
use crate::http::waits::WaitLimits;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::verify::x509::Usage;

use super::DemoError;
use super::certificates::{Ca, Leaf};
use super::domain::{Domain, Running};
use super::narrator::Narrator;

/// Tells it; with `stay` both domains then run on until Ctrl-C.
pub(super) async fn tell(narrator: &mut Narrator, stay: bool) -> Result<(), DemoError> {
    let folder = tempfile::Builder::new().prefix("comity-demo-").tempdir()?;
    let mut stage = Stage::build(narrator, folder.path())?;
    let (mut a, b) = stage.exchange(narrator).await?;
    let first = stage.verify(narrator, &b)?;
    let old = stage.rotate(narrator, &a, &b, &first).await?;
    a = stage.replay(narrator, a, &b, &old, &first).await?;
    narrator.summary();
    if stay {
        stage.invite();
        tokio::signal::ctrl_c().await?;
        println!();
    }
    a.stop().await;
    b.stop().await;
    Ok(())
}

/// Two domains, their CAs, and the CA of bank A's web certificate.
struct Stage {
    a: Domain,
    b: Domain,
    a_ca: Ca,
    b_ca: Ca,
    now: Timestamp,
}

impl Stage {
    fn build(narrator: &Narrator, folder: &Path) -> Result<Self, DemoError> {
        narrator.chapter("Two trust domains, each with a CA, an endpoint and a store of its own");
        let now = DefaultTimeProvider.current_time().map(Timestamp::from).unwrap_or_default();
        let domain = |name: &str| Domain::new(name.parse().expect("a valid name"), folder);
        let (a, b) = (domain("bank-a.example")?, domain("bank-b.example")?);
        let (a_ca, b_ca) = (
            Ca::new("Bank A CA 1", Some("spiffe://bank-a.example"), now)?,
            Ca::new("Bank B CA 1", Some("spiffe://bank-b.example"), now)?,
        );
        a.write("ca/ca-1.pem", a_ca.pem.as_bytes())?;
        b.write("ca/ca-1.pem", b_ca.pem.as_bytes())?;

        let web_ca = Ca::new("Demo Web CA", None, now)?;
        let web = web_ca.loopback(now)?;
        write_pair(&a, "tls/tls", &web)?;
        b.write("peer/web-ca.pem", web_ca.pem.as_bytes())?;
        write_pair(&b, "tls/svid", &b_ca.svid("spiffe://bank-b.example/comity", now)?)?;
        a.write("peer/bank-b.pem", b_ca.pem.as_bytes())?;

        let federated = format!(
            "[federation.\"bank-b.example\"]\nendpoint_url = \"{}\"\nprofile = \"https_spiffe\"\n\
             endpoint_spiffe_id = \"spiffe://bank-b.example/comity\"\nbootstrap_bundle = \"{}\"\nminimum_interval = \"1s\"\n",
            b.url(),
            a.path("peer/bank-b.pem").display()
        );
        a.write("comity.toml", configuration(&a, "https_web", "certificate", "tls/tls", &federated).as_bytes())?;
        let federated = format!(
            "[federation.\"bank-a.example\"]\nendpoint_url = \"{}\"\nprofile = \"https_web\"\n\
             root_certificates = \"{}\"\nminimum_interval = \"1s\"\n",
            a.url(),
            b.path("peer/web-ca.pem").display()
        );
        b.write("comity.toml", configuration(&b, "https_spiffe", "svid", "tls/svid", &federated).as_bytes())?;
        narrator.say(&format!("everything is below {}", folder.display()));
        Ok(Self { a, b, a_ca, b_ca, now })
    }

    /// Endpoints up, bootstrap, the first fetch both ways.
    async fn exchange(&self, narrator: &mut Narrator) -> Result<(Running, Running), DemoError> {
        narrator.chapter("Each publishes its bundle and fetches the other's");
        let b = self.b.start().await?;
        narrator.say(&format!("bank-b.example serves {} as https_spiffe", self.b.url()));
        let a = self.a.start().await?;
        narrator.say(&format!("bank-a.example serves {} as https_web", self.a.url()));
        let bootstrap = a.federation.bundle(&self.b.name)?;
        narrator.say(&format!("bank-a.example knows bank-b.example from its bootstrap file: {}", keys(&bootstrap)));
        let fetched = a.has(&self.b.name, "bank A's first fetch", |_| true).await?;
        let state = a.federation.refresh(&self.b.name).await?.state;
        narrator.verdict(
            "bank A fetched bank B's bundle (https_spiffe)",
            state == RelationshipState::Current,
            format!("{}, {}", keys(&fetched), name_of(&state)),
        );
        let fetched = b.has(&self.a.name, "bank B's first fetch", |_| true).await?;
        let state = b.federation.refresh(&self.a.name).await?.state;
        narrator.verdict(
            "bank B fetched bank A's bundle (https_web)",
            state == RelationshipState::Current,
            format!("{}, {}", keys(&fetched), name_of(&state)),
        );
        Ok((a, b))
    }

    /// A workload of A is accepted by B; one that B's own CA minted in A's name is not.
    fn verify(&self, narrator: &mut Narrator, b: &Running) -> Result<Leaf, DemoError> {
        narrator.chapter("Bank B verifies workloads, each against the bundle of its own trust domain alone");
        let payments = self.a_ca.svid(PAYMENTS, self.now)?;
        narrator.verdict("workload of bank A, by bank A's CA", verdict(b, &payments).is_ok(), outcome(b, &payments));
        let forged = self.b_ca.svid(PAYMENTS, self.now)?;
        narrator.say(&format!("bank B's CA mints {PAYMENTS}"));
        narrator.verdict("the same ID, by bank B's CA", verdict(b, &forged).is_err(), outcome(b, &forged));
        Ok(payments)
    }

    /// A rotates with overlap, then retires the old key. Returns the bundle that had only the old one.
    async fn rotate(
        &mut self,
        narrator: &mut Narrator,
        a: &Running,
        b: &Running,
        first: &Leaf,
    ) -> Result<Arc<Bundle>, DemoError> {
        narrator.chapter("Bank A rotates its CA, the new key first beside the old one");
        let old = a.has(&self.a.name, "bank A's own bundle", |_| true).await?;
        let next = Ca::new("Bank A CA 2", Some("spiffe://bank-a.example"), self.now)?;
        self.a.write("ca/ca-2.pem", next.pem.as_bytes())?;
        let both =
            a.has(&self.a.name, "bank A to publish its new CA", |bundle| bundle.authorities().len() == 2).await?;
        narrator.say(&format!("bank A publishes {}", keys(&both)));
        b.federation.refresh(&self.a.name).await?;
        let seen = b.federation.bundle(&self.a.name)?;
        narrator.verdict(
            "bank B picked up the new key beside the old",
            seen.authorities() == both.authorities(),
            keys(&seen),
        );
        let second = next.svid(PAYMENTS, self.now)?;
        let accepted = verdict(b, first).is_ok() && verdict(b, &second).is_ok();
        narrator.verdict(
            "SVIDs of both CAs during the overlap",
            accepted,
            if accepted { "both accepted" } else { "not both accepted" },
        );

        std::fs::remove_file(self.a.path("ca/ca-1.pem"))?;
        a.has(&self.a.name, "bank A to retire its old CA", |bundle| bundle.authorities().len() == 1).await?;
        narrator.say("bank A retires its old CA");
        b.federation.refresh(&self.a.name).await?;
        narrator.verdict("SVID of the retired CA", verdict(b, first).is_err(), outcome(b, first));
        narrator.verdict("SVID of the new CA", verdict(b, &second).is_ok(), outcome(b, &second));
        self.a_ca = next;
        Ok(old)
    }

    /// Somebody serves A's old bundle in A's place: held. Then A is back, with what it had.
    async fn replay(
        &self,
        narrator: &mut Narrator,
        a: Running,
        b: &Running,
        old: &Bundle,
        first: &Leaf,
    ) -> Result<Running, DemoError> {
        narrator.chapter("An attacker with bank A's endpoint replays the old bundle");
        a.stop().await;
        let impostor = self.impostor(old)?;
        let status = b.federation.refresh(&self.a.name).await?;
        let held = status
            .held
            .first()
            .map_or_else(|| "nothing held".to_owned(), |held| format!("{}: {}", held.code, held.detail));
        narrator.verdict("the old bundle is held, not accepted", status.state == RelationshipState::Held, held);
        narrator.verdict("SVID of the retired CA, still", verdict(b, first).is_err(), outcome(b, first));
        impostor.stop().await;

        let a = self.a.start().await?;
        narrator.say("bank A is back, from its store");
        let status = b.federation.refresh(&self.a.name).await?;
        let current = status.state == RelationshipState::Current && status.held.is_empty();
        narrator.verdict(
            "the exchange goes on",
            current,
            format!("{}, sequence {}", name_of(&status.state), status.sequence.unwrap_or(0)),
        );
        Ok(a)
    }

    fn impostor(&self, old: &Bundle) -> Result<Impostor, DemoError> {
        let tls =
            EndpointTls::web(&self.a.path("tls/tls.crt"), &self.a.path("tls/tls.key"), Arc::new(DefaultTimeProvider))?;
        let published = PublishedBundle::new(render(old, WitAuthorities::Omit), old.sequence().unwrap_or_default())?;
        let fetchers = Arc::new(Fetchers::new(Arc::new(Clock::new(Arc::new(DefaultTimeProvider), None))));
        let (bundle, serving) = tokio::sync::watch::channel(Some(Arc::new(published)));
        let endpoint = EndpointListener {
            profile: "https_web",
            listener: listener::bind(self.a.address, &ListenerLimits::default())?,
            tls: tls.server_config()?,
            path: "/".into(),
            limits: ListenerLimits::default(),
            waits: WaitLimits::default(),
            oidc: None,
        };
        let stop = CancellationToken::new();
        let mut served = JoinSet::new();
        served.spawn(serve_endpoint(endpoint, serving, fetchers, Metrics::default(), stop.clone()));
        Ok(Impostor { stop, served, _bundle: bundle })
    }

    /// What to try while both run on.
    fn invite(&self) {
        let comity = std::env::current_exe().map_or_else(|_| "comity".into(), |path| path.display().to_string());
        let (a, b) = (self.a.path("admin.sock"), self.b.path("admin.sock"));
        println!("\nBoth domains run on. Try, in another terminal:\n");
        println!("  curl -s --cacert {} {}", self.b.path("peer/web-ca.pem").display(), self.a.url());
        println!("  {comity} federation status --socket {}", a.display());
        println!("  {comity} federation status --socket {} --watch", b.display());
        println!("  {comity} bundle list --socket {}", b.display());
        println!("  {comity} rotation status --socket {}", a.display());
        println!(
            "  rm {}    # an emptied folder revokes nothing: see the warning in bank A's status",
            self.a.path("ca/ca-2.pem").display()
        );
        println!("\nCtrl-C stops both.");
    }
}

/// A server in bank A's place, with bank A's certificate.
struct Impostor {
    stop: CancellationToken,
    served: JoinSet<std::io::Result<()>>,
    _bundle: tokio::sync::watch::Sender<Option<Arc<PublishedBundle>>>,
}

impl Impostor {
    async fn stop(mut self) {
        self.stop.cancel();
        while self.served.join_next().await.is_some() {}
    }
}

fn write_pair(domain: &Domain, name: &str, leaf: &Leaf) -> Result<(), DemoError> {
    domain.write(&format!("{name}.crt"), leaf.pem.as_bytes())?;
    domain.write(&format!("{name}.key"), leaf.key_pem.as_bytes())
}

fn configuration(domain: &Domain, profile: &str, certificate: &str, pair: &str, federation: &str) -> String {
    let path = |file: &str| domain.path(file).display().to_string();
    format!(
        "trust_domain = \"{}\"\n\n[store]\nurl = \"sqlite://{}\"\n\n[authorities]\nx509 = [\"{}\"]\nrefresh_hint = \"60s\"\n\n\
         [endpoint.{profile}]\nlisten = \"{}\"\n{certificate} = \"{}\"\nprivate_key = \"{}\"\n\n[admin]\nsocket = \"{}\"\n\n{federation}",
        domain.name,
        path("comity.db"),
        path("ca"),
        domain.address,
        path(&format!("{pair}.crt")),
        path(&format!("{pair}.key")),
        path("admin.sock"),
    )
}

fn verdict(
    at: &Running,
    svid: &Leaf,
) -> Result<crate::verify::verified::Verified, crate::verify::rejection::Rejection> {
    let now = DefaultTimeProvider.current_time().map(Timestamp::from).unwrap_or_default();
    at.feed.snapshot().verify_x509(&svid.der, &[], Usage::Client, now.into())
}

fn outcome(at: &Running, svid: &Leaf) -> String {
    match verdict(at, svid) {
        Ok(verified) => format!("accepted as {}", verified.spiffe_id),
        Err(rejection) => format!("refused, {}: {rejection}", rejection.code()),
    }
}

/// A bundle in a few words.
fn keys(bundle: &Bundle) -> String {
    let subjects: Vec<_> = bundle.authorities().x509().map(|ca| ca.subject().trim_start_matches("CN=")).collect();
    match bundle.sequence() {
        Some(sequence) => format!("{} (sequence {sequence})", subjects.join(" and ")),
        None => subjects.join(" and "),
    }
}

const PAYMENTS: &str = "spiffe://bank-a.example/payments";

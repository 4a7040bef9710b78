//! The accepted bundles inside the trust domain: a bundle map, and each bundle by itself, for whatever has an HTTP client.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{self, ContentType};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::federation::published_bundle::PublishedDocument;
use crate::outputs::progress::Progress;
use crate::outputs::served::keep_serving;
use crate::outputs::view::View;
use crate::spiffe::authority::X509Authority;
use crate::spiffe::bundle::Bundle;
use crate::spiffe::bundle_map::BundleMap;
use crate::spiffe::document::render::{WitAuthorities, render};
use crate::spiffe::trust_domain::TrustDomain;

use super::conditional::{NO_CACHE, Representation};
use super::connections::serve;
use super::listener::{ListenerLimits, last_answer, serve_until};
use super::waits::{WaitLimits, Waits};

/// A listener for bundles that is bound and not yet served.
pub(crate) struct DistributionListener {
    pub(crate) listener: TcpListener,
    /// Without it the listener is on a loopback address.
    pub(crate) tls: Option<rustls::ServerConfig>,
    /// What it shows.
    pub(crate) views: watch::Receiver<Arc<View>>,
    pub(crate) progress: Arc<Progress>,
}

/// Serves what the newest view shows until `stop`.
pub(crate) async fn serve_distribution(distribution: DistributionListener, stop: CancellationToken) -> io::Result<()> {
    let DistributionListener { listener, tls, views, progress } = distribution;
    let documents = watch::Sender::new(Arc::new(Documents::of(&views.borrow(), None)));
    let waits = Waits::new(WAITS, stop.clone());
    let served = Served { documents: documents.subscribe(), progress: progress.clone(), waits, stop: stop.clone() };
    let served = Data::new(served);
    let application = move |application: &mut ServiceConfig| {
        application.app_data(served.clone()).default_service(web::to(answer));
    };
    let server = serve(listener, tls, ListenerLimits::default().sharing(CONNECTIONS), &stop, application, |_| ())?;
    let rendered = |view: &View, before: &Arc<Documents>| Arc::new(Documents::of(view, Some(before)));
    let keep = keep_serving(views, documents, progress, rendered, stop.clone());
    tokio::join!(serve_until(stop, server), keep).0
}

struct Served {
    documents: watch::Receiver<Arc<Documents>>,
    progress: Arc<Progress>,
    waits: Waits,
    stop: CancellationToken,
}

async fn answer(request: HttpRequest, served: Data<Served>) -> HttpResponse {
    let mut response = match *request.method() {
        Method::GET | Method::HEAD => {
            let answer = |documents: &Arc<Documents>| documents.answer(&request);
            served.waits.answer(&request, &served.documents, answer, || served.progress.subscriber()).await
        }
        _ => HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "GET, HEAD")).finish(),
    };
    last_answer(&mut response, &served.stop);
    response
}

/// Everything that is served, rendered once per change.
struct Documents {
    map: PublishedDocument,
    bundles: BTreeMap<TrustDomain, Arc<OfDomain>>,
}

/// The documents of one domain.
struct OfDomain {
    bundle: Arc<Bundle>,
    jwks: PublishedDocument,
    /// `None` without a CA certificate: an empty file could be read as one that trusts anybody.
    pem: Option<PublishedDocument>,
}

impl Documents {
    /// What a view shows; what is the same as before isn't rendered again.
    fn of(view: &View, before: Option<&Self>) -> Self {
        let bundles = &view.selected.bundles;
        let map: BundleMap = bundles.values().map(|bundle| Bundle::clone(bundle)).collect();
        let known = |name: &TrustDomain, bundle: &Arc<Bundle>| {
            let known = before?.bundles.get(name)?;
            (known.bundle == *bundle).then(|| known.clone())
        };
        let of_domain = |(name, bundle): (&TrustDomain, &Arc<Bundle>)| {
            let documents = known(name, bundle).unwrap_or_else(|| Arc::new(OfDomain::of(bundle)));
            (name.clone(), documents)
        };
        Self { map: published(map.render(WitAuthorities::Omit)), bundles: bundles.iter().map(of_domain).collect() }
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let found = match request.uri().path().strip_prefix(ROOT) {
            Some("") => Some((&self.map, ContentType::json())),
            Some(rest) => rest.strip_prefix('/').and_then(|rest| self.of_domain(rest)),
            None => None,
        };
        match found {
            Some((document, content_type)) => {
                Representation::negotiate(document, request).answer(request, content_type, NO_CACHE)
            }
            None => HttpResponse::NotFound().finish(),
        }
    }

    fn of_domain(&self, path: &str) -> Option<(&PublishedDocument, ContentType)> {
        let (name, variant) = path.split_once('/').unwrap_or((path, ""));
        let documents = self.bundles.get(&name.parse::<TrustDomain>().ok()?)?;
        match variant {
            "" if !path.ends_with('/') => Some((&documents.jwks, ContentType::json())),
            PEM => Some((documents.pem.as_ref()?, ContentType("application/x-pem-file".parse().ok()?))),
            _ => None,
        }
    }
}

impl OfDomain {
    fn of(bundle: &Arc<Bundle>) -> Self {
        let certificates: String = bundle.authorities().x509().map(X509Authority::to_pem).collect();
        Self {
            bundle: bundle.clone(),
            jwks: published(render(bundle, WitAuthorities::Omit)),
            pem: (!certificates.is_empty()).then(|| published(certificates.into_bytes())),
        }
    }
}

fn published(document: Vec<u8>) -> PublishedDocument {
    PublishedDocument::new(document).expect("writing to memory does not fail")
}

/// The bundle map; below it, one domain's bundle.
const ROOT: &str = "/bundles";
/// Below a domain: its CA certificates.
const PEM: &str = "pem";
/// Whoever fetches bundles here is of our own domain, and may be many behind one address.
const WAITS: WaitLimits = WaitLimits { longest: Duration::from_secs(300), per_address: 256, in_all: 1_024 };
/// Clients at once, all workers together.
pub(crate) const CONNECTIONS: usize = 2_048;

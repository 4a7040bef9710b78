//! The admin API: HTTP on a Unix socket, for the CLI of whoever may open it.

use std::future::{Ready, ready};
use std::io;
use std::num::NonZero;
use std::str::FromStr as _;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Json, JsonConfig, QueryConfig, ServiceConfig};
use actix_web::{App, FromRequest, Handler, HttpRequest, HttpServer, Resource, Responder};
use tokio_util::sync::CancellationToken;

use crate::federation::status::ServiceStatus;
use crate::files::unix_socket::UnixSocket;
use crate::spiffe::trust_domain::TrustDomain;

use super::listener::{DRAIN_SECONDS, serve_until};
use super::operations::Operations;
use super::pool::Pool;
use super::problem::{Problem, describe};
use super::{bundles, relationships, rotation, verification};

/// Serves the admin API until `stop`, then removes the socket's file.
pub(crate) async fn serve_admin(socket: UnixSocket, operations: Operations, stop: CancellationToken) -> io::Result<()> {
    let listener = socket.listener()?;
    let (federation, operations) = (Data::new(operations.federation.clone()), Data::new(operations));
    let pool = Data::new(Pool::new(verification::PLACES));
    let app = move || {
        let app = App::new().app_data(federation.clone()).app_data(operations.clone()).app_data(pool.clone());
        app.wrap(from_fn(describe)).configure(routes)
    };
    let server = HttpServer::new(app)
        .disable_signals()
        .shutdown_timeout(DRAIN_SECONDS)
        .workers(1)
        .worker_max_blocking_threads(available_parallelism().map_or(1, NonZero::get))
        .max_connections(CONNECTIONS)
        .client_request_timeout(HEADER_TIMEOUT)
        .listen_uds(listener)?;
    serve_until(stop, server.run()).await
}

/// Everything that the admin API serves.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .app_data(json(MAX_BODY_BYTES))
        .app_data(QueryConfig::default().error_handler(|error, _| Problem::from(error).into()))
        .service(read("/v1/status", status))
        .configure(relationships::routes)
        .configure(bundles::routes)
        .configure(rotation::routes)
        .configure(verification::routes)
        .default_service(web::to(|| async { Err::<&str, _>(Problem::unknown_route()) }));
}

/// Reads JSON bodies of at most `limit` bytes.
pub(super) fn json(limit: usize) -> JsonConfig {
    JsonConfig::default().limit(limit).error_handler(|error, _| Problem::from(error).into())
}

/// A path to look at.
pub(super) fn read<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args> + Clone,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::get().to(handler.clone()))
        .route(web::head().to(handler))
        .default_service(web::to(|| async { Err::<&str, _>(Problem::method_not_allowed("GET, HEAD")) }))
}

/// A path that gives an order.
pub(super) fn order<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::post().to(handler))
        .default_service(web::to(|| async { Err::<&str, _>(Problem::method_not_allowed("POST")) }))
}

/// `{trust_domain}` of a path.
pub(super) struct OfDomain(pub(super) TrustDomain);

impl FromRequest for OfDomain {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let name = request.match_info().query("trust_domain");
        ready(match TrustDomain::from_str(name) {
            Ok(trust_domain) => Ok(Self(trust_domain)),
            Err(error) => Err(Problem::new("invalid-trust-domain", error.to_string())),
        })
    }
}

async fn status(operations: Data<Operations>) -> Json<ServiceStatus> {
    Json(operations.service())
}

const MAX_BODY_BYTES: usize = 64 << 10;

const CONNECTIONS: usize = 64;

const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

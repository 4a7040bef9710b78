//! Our own public keys from files and folders, re-read whenever they change.

use std::path::{Path, PathBuf};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::files::trusted::{self, FileError};
use crate::files::watch::FileWatch;
use crate::spiffe::authority::{Authority, SvidType};
use crate::spiffe::public_key::Fingerprint;
use crate::spiffe::trust_domain::TrustDomain;

use super::jwks::{self, JwksError};
use super::pem::{self, PemError};
use super::{AuthorityProblem, Kind, LastGood, LoadedAuthorities, MisWired, check_wiring};

/// Files and folders with our CA certificates (PEM) and JWT keys (JWKS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuthorityFiles {
    x509: Vec<PathBuf>,
    jwt: Vec<PathBuf>,
    wit: Vec<PathBuf>,
}

impl AuthorityFiles {
    /// In a folder every visible regular file counts. Without any path there are no authorities.
    pub(crate) fn new(x509: Vec<PathBuf>, jwt: Vec<PathBuf>) -> Self {
        Self { x509, jwt, wit: Vec::new() }
    }

    /// The same with JWKS files of WIT keys, which nobody publishes unasked (WIT-04, OUT-02).
    pub(crate) fn with_wit(self, wit: Vec<PathBuf>) -> Self {
        Self { wit, ..self }
    }

    /// Whether nothing is configured.
    pub(crate) fn is_empty(&self) -> bool {
        self.sources().next().is_none()
    }

    /// Reads everything for the first time. Nothing to publish is an error, unless nothing is
    /// configured; a file that cannot be used beside others that can is a problem to show.
    pub(crate) fn load(&self, trust_domain: &TrustDomain) -> Result<LoadedAuthorities, AuthorityFilesError> {
        let loaded = self.reload(trust_domain, &LoadedAuthorities::default());
        if loaded.authorities.is_empty() && !self.is_empty() {
            return Err(AuthorityFilesError { problems: loaded.problems });
        }
        Ok(loaded)
    }

    /// Reads everything again, at each change of a file, and sends what differs, starting from what
    /// `out` holds. Ends with `stop`.
    pub(crate) async fn watch(
        self,
        trust_domain: TrustDomain,
        out: watch::Sender<LoadedAuthorities>,
        stop: CancellationToken,
    ) {
        let mut files = FileWatch::new(self.sources().map(|(_, path)| path.as_path()));
        while stop.run_until_cancelled(files.changed()).await.is_some() {
            let previous = out.borrow().clone();
            let (sources, domain) = (self.clone(), trust_domain.clone());
            let read = tokio::task::spawn_blocking(move || {
                let loaded = sources.reload(&domain, &previous);
                (previous, loaded)
            });
            let Ok((previous, loaded)) = read.await else { continue };
            if loaded.authorities != previous.authorities || loaded.problems != previous.problems {
                log(&previous, &loaded);
                out.send_replace(loaded);
            }
        }
    }

    /// What the files hold now; where one cannot be used, what it held in `previous`.
    ///
    /// A file taken out of a folder takes its keys with it. A folder that is empty, a file that is
    /// gone, and everything being gone revoke nothing: that would end all trust in us by accident.
    pub(crate) fn reload(&self, trust_domain: &TrustDomain, previous: &LoadedAuthorities) -> LoadedAuthorities {
        let mut loaded = LoadedAuthorities::default();
        for (kind, source) in self.sources() {
            match list(source) {
                Ok(files) => files.iter().for_each(|file| loaded.read(kind, file, trust_domain, previous)),
                Err(error) => {
                    loaded.report(Some(kind), source, &error);
                    loaded.keep_all(kind, source, previous);
                }
            }
        }
        loaded.authorities = loaded.by_file.values().flat_map(|file| &file.authorities).cloned().collect();
        match loaded.authorities.len() {
            0 if previous.authorities.is_empty() => loaded,
            0 => loaded.overruled_by(previous, &UnusableFile::NoAuthorities),
            MAX_AUTHORITIES.. => loaded.overruled_by(previous, &UnusableFile::TooMany),
            _ => loaded,
        }
    }

    fn sources(&self) -> impl Iterator<Item = (Kind, &PathBuf)> {
        let x509 = self.x509.iter().map(|path| (Kind::X509, path));
        let jwt = self.jwt.iter().map(|path| (Kind::Jwt, path));
        x509.chain(jwt).chain(self.wit.iter().map(|path| (Kind::Wit, path)))
    }
}

impl LoadedAuthorities {
    fn read(&mut self, kind: Kind, file: &Path, trust_domain: &TrustDomain, previous: &Self) {
        let last = previous.by_file.get(&(kind, file.to_owned()));
        let good = match read(kind, file, trust_domain, last) {
            Ok(good) => Some(good),
            Err(error) => {
                self.report(Some(kind), file, &error);
                last.cloned()
            }
        };
        if let Some(good) = good {
            self.by_file.insert((kind, file.to_owned()), good);
        }
    }

    fn keep_all(&mut self, kind: Kind, source: &Path, previous: &Self) {
        let kept = previous.by_file.iter().filter(|((of, file), _)| *of == kind && file.starts_with(source));
        self.by_file.extend(kept.map(|(file, good)| (file.clone(), good.clone())));
    }

    fn overruled_by(mut self, previous: &Self, error: &UnusableFile) -> Self {
        self.report(None, Path::new("authorities"), error);
        Self { problems: self.problems, ..previous.clone() }
    }

    fn report(&mut self, kind: Option<Kind>, file: &Path, error: &UnusableFile) {
        let (svid_type, file) = (kind.map(Kind::svid_type), file.to_owned());
        self.problems.push(AuthorityProblem { file, svid_type, code: error.code(), detail: error.to_string() });
    }
}

/// No authorities could be read at start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of the files under [authorities] holds a key to publish; expected are CA certificates in PEM (x509) or JWT keys in a JWKS (jwt){}",
    list_of(problems)
)]
pub(crate) struct AuthorityFilesError {
    /// What is wrong with which file.
    pub(crate) problems: Vec<AuthorityProblem>,
}

impl AuthorityFilesError {
    /// Stable identifier; see docs/problems.md.
    pub(crate) fn code(&self) -> &'static str {
        "no-authorities"
    }
}

#[derive(Debug, thiserror::Error)]
enum UnusableFile {
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Pem(#[from] PemError),
    #[error("{0}")]
    Jwks(#[from] JwksError),
    #[error("{0}")]
    MisWired(#[from] MisWired),
    #[error("no keys are left, which would revoke everything; put the new keys in place first")]
    NoAuthorities,
    #[error("more than {} keys in all, which is more than peers read", MAX_AUTHORITIES - 1)]
    TooMany,
}

impl UnusableFile {
    fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Pem(error) => error.code(),
            Self::Jwks(error) => error.code(),
            Self::MisWired(error) => error.code(),
            Self::NoAuthorities => "no-authorities",
            Self::TooMany => "too-many-authorities",
        }
    }
}

/// The files of a source; none is an error, so that an unmounted volume revokes nothing.
fn list(source: &Path) -> Result<Vec<PathBuf>, UnusableFile> {
    let files = trusted::list(source)?;
    if files.is_empty() { Err(UnusableFile::NoAuthorities) } else { Ok(files) }
}

fn read(
    kind: Kind,
    file: &Path,
    trust_domain: &TrustDomain,
    last: Option<&LastGood>,
) -> Result<LastGood, UnusableFile> {
    let bytes = trusted::read(file, MAX_BYTES)?;
    let digest = Fingerprint::of(&bytes);
    if let Some(last) = last.filter(|last| last.digest == digest) {
        return Ok(last.clone());
    }
    let authorities = match kind {
        Kind::X509 => pem::ca_certificates(&bytes)?.into_iter().map(Authority::X509).collect(),
        Kind::Jwt => jwks::authorities(SvidType::JwtSvid, trust_domain, &bytes)?,
        Kind::Wit => jwks::authorities(SvidType::WitSvid, trust_domain, &bytes)?,
    };
    check_wiring(trust_domain, &authorities)?;
    Ok(LastGood { digest, authorities })
}

fn log(previous: &LoadedAuthorities, loaded: &LoadedAuthorities) {
    for AuthorityProblem { file, code, detail, .. } in &loaded.problems {
        if !previous.problems.iter().any(|known| known.file == *file && known.code == *code) {
            tracing::warn!(file = ?file, code, detail, "authority file not used; its last good keys stay");
        }
    }
    if loaded.authorities != previous.authorities {
        let keys = loaded.authorities.len();
        tracing::info!(keys, "own authorities changed");
    }
}

fn list_of(problems: &[AuthorityProblem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {}: {} [{}]", problem.file.display(), problem.detail, problem.code))
        .collect()
}

/// Largest file that is read, in bytes; a peer reads no larger document either.
const MAX_BYTES: usize = 1 << 20;
/// One more key than a peer reads.
const MAX_AUTHORITIES: usize = 257;

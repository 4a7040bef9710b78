//! What paths are made of: the authorities of one bundle, and what the peer sent.

use std::cell::OnceCell;
use std::sync::OnceLock;

use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;

use super::certificate::{Certificate, subject_of, unreadable};
use super::key;
use super::key_strength::KeyStrength;
use super::rejection::{Fault, Place, Rejection};
use super::signature::{self, ReadyKey};

/// A certificate that may stand in a path above the leaf.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) certificate: Certificate<'a>,
    pub(super) place: Place,
    key: OnceLock<Result<KeyStrength, Fault>>,
    ready_key: ReadyKey,
    thumbprint: OnceLock<Result<Fingerprint, Fault>>,
}

impl<'a> Candidate<'a> {
    fn new(certificate: Certificate<'a>, place: Place) -> Self {
        Self { certificate, place, key: OnceLock::new(), ready_key: ReadyKey::default(), thumbprint: OnceLock::new() }
    }

    pub(super) fn is_authority(&self) -> bool {
        matches!(self.place, Place::Authority(_))
    }

    /// Checks that its key made the signature of `signed`. An authority's is kept ready: it checks many.
    pub(super) fn check_signature_of(&self, signed: &Certificate<'_>) -> Result<(), Fault> {
        signature::check(signed, &self.certificate, self.is_authority().then_some(&self.ready_key))
    }

    /// Whether its key can be used, and how strong it is.
    pub(super) fn key_strength(&self) -> Result<KeyStrength, Fault> {
        self.key.get_or_init(|| key::strength(&self.certificate.key)).clone()
    }

    /// What tells its key from every other one, whatever certificate it stands in.
    pub(super) fn key_thumbprint(&self) -> Result<Fingerprint, Fault> {
        let thumbprint = || key::thumbprint(&self.certificate.key).map_err(Fault::UnusableKey);
        self.thumbprint.get_or_init(thumbprint).clone()
    }
}

/// The X.509 authorities of one bundle, parsed once.
#[derive(Debug)]
pub(super) struct Anchors {
    pub(super) candidates: Box<[Candidate<'static>]>,
    /// Why there is none, if there would be one that can't be read: an odd one beside others explains nothing.
    unreadable: Option<Rejection>,
}

impl Anchors {
    pub(super) fn new(authorities: &Authorities) -> Self {
        let (mut candidates, mut unreadable_one) = (Vec::new(), None);
        for authority in authorities.x509() {
            let place = Place::Authority(authority.fingerprint());
            match Certificate::parse(authority.der()) {
                Ok(certificate) => candidates.push(Candidate::new(certificate.into_owned(), place)),
                Err(fault) => unreadable_one = Some(unreadable(place, fault)),
            }
        }
        let unreadable = if candidates.is_empty() { unreadable_one } else { None };
        Self { candidates: candidates.into(), unreadable }
    }

    /// Whether this is one of them, or bears the name and key of one.
    pub(super) fn own(&self, leaf: &Certificate<'_>) -> bool {
        let is_same = |anchor: &Certificate<'_>| anchor.key.info == leaf.key.info && anchor.subject.is(&leaf.subject);
        self.contain(&leaf.der) || self.candidates.iter().any(|anchor| is_same(&anchor.certificate))
    }

    pub(super) fn contain(&self, der: &[u8]) -> bool {
        self.candidates.iter().any(|anchor| *anchor.certificate.der == *der)
    }
}

/// The authorities of one bundle, and the intermediates that a peer sent, each certificate once.
pub(super) struct Pool<'s, 'a> {
    anchors: &'s Anchors,
    /// An authority that was sent along counts as what it is, so it isn't here.
    others: Vec<&'s Sent<'a>>,
}

/// The intermediates that a peer sent, in its order, each once.
pub(super) struct Intermediates<'a>(Vec<Sent<'a>>);

/// A certificate that is read whole when a path may need it, and then kept.
struct Sent<'a> {
    der: &'a [u8],
    place: Place,
    /// Its DER; none if the certificate can't be read so far.
    subject: Option<&'a [u8]>,
    candidate: OnceCell<Result<Candidate<'a>, Fault>>,
}

impl<'a> Sent<'a> {
    fn new(index: usize, der: &'a [u8]) -> Self {
        Self { der, place: Place::Intermediate(index), subject: subject_of(der), candidate: OnceCell::new() }
    }

    fn candidate(&self) -> Result<&Candidate<'a>, &Fault> {
        let read = || Certificate::parse(self.der).map(|certificate| Candidate::new(certificate, self.place));
        self.candidate.get_or_init(read).as_ref()
    }
}

impl<'a> Intermediates<'a> {
    pub(super) fn new(sent: &[&'a [u8]]) -> Self {
        let is_new = |(index, der): &(usize, &&'a [u8])| !sent[..*index].contains(der);
        Self(sent.iter().enumerate().filter(is_new).map(|(index, der)| Sent::new(index, der)).collect())
    }

    pub(super) fn candidates(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.0.iter().filter_map(|sent| sent.candidate().ok())
    }

    /// Why one could not be read, whatever the order: it is left out, and named if nothing else was sent.
    pub(super) fn unreadable(&self) -> Option<Rejection> {
        unreadable_of(self.0.iter())
    }
}

fn unreadable_of<'s, 'a: 's>(sent: impl Iterator<Item = &'s Sent<'a>>) -> Option<Rejection> {
    let faults = sent.filter_map(|sent| Some((sent, sent.candidate().err()?)));
    let (sent, fault) = faults.min_by_key(|(sent, _)| sent.der)?;
    Some(unreadable(sent.place, fault.clone()))
}

impl<'s, 'a> Pool<'s, 'a> {
    pub(super) fn new(anchors: &'s Anchors, intermediates: &'s Intermediates<'a>) -> Self {
        Self { anchors, others: intermediates.0.iter().filter(|sent| !anchors.contain(sent.der)).collect() }
    }

    /// Authorities first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &'s Candidate<'a>> {
        self.anchors().chain(self.others.iter().filter_map(|sent| sent.candidate().ok()))
    }

    /// Those with a subject of exactly these bytes; no others are read.
    pub(super) fn candidates_named(&self, subject: &[u8]) -> impl Iterator<Item = &'s Candidate<'a>> {
        let others = self.others.iter().filter(move |sent| sent.subject == Some(subject));
        let anchors = self.anchors().filter(move |anchor| *anchor.certificate.subject.der == *subject);
        anchors.chain(others.filter_map(|sent| sent.candidate().ok()))
    }

    /// What could not be read, and so may be why there is no path.
    pub(super) fn unreadable(&self) -> Option<Rejection> {
        let alone = || self.others.iter().all(|sent| sent.candidate().is_err());
        self.anchors.unreadable.clone().or_else(|| unreadable_of(self.others.iter().copied()).filter(|_| alone()))
    }

    fn anchors(&self) -> impl Iterator<Item = &'s Candidate<'a>> + use<'s, 'a> {
        self.anchors.candidates.iter().map(|anchor| -> &'s Candidate<'a> { anchor })
    }
}

//! What paths are made of: the authorities of one bundle, and what the peer sent.

use std::sync::OnceLock;

use crate::spiffe::bundle::Authorities;
use crate::spiffe::public_key::Fingerprint;

use super::certificate::{Certificate, unreadable};
use super::key;
use super::key_strength::KeyStrength;
use super::rejection::{Fault, Place, Rejection};

/// A certificate that may stand in a path above the leaf.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) certificate: Certificate<'a>,
    pub(super) place: Place,
    key: OnceLock<Result<KeyStrength, Fault>>,
    thumbprint: OnceLock<Result<Fingerprint, Fault>>,
}

impl<'a> Candidate<'a> {
    fn new(certificate: Certificate<'a>, place: Place) -> Self {
        Self { certificate, place, key: OnceLock::new(), thumbprint: OnceLock::new() }
    }

    pub(super) fn is_authority(&self) -> bool {
        matches!(self.place, Place::Authority(_))
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
    pub(super) candidates: Vec<Candidate<'static>>,
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
        Self { candidates, unreadable }
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
    others: Vec<&'s Candidate<'a>>,
    unreadable: Option<&'s Rejection>,
}

/// The intermediates that a peer sent, each parsed once.
pub(super) struct Intermediates<'a> {
    candidates: Vec<Candidate<'a>>,
    /// One that could not be read, whatever the order: it is left out, and named if nothing else was sent.
    unreadable: Option<Rejection>,
}

impl<'a> Intermediates<'a> {
    pub(super) fn candidates(&self) -> impl Iterator<Item = &Candidate<'a>> {
        self.candidates.iter()
    }

    pub(super) fn unreadable(&self) -> Option<&Rejection> {
        self.unreadable.as_ref()
    }

    pub(super) fn new(sent: &[&'a [u8]]) -> Self {
        let mut read = Self { candidates: Vec::with_capacity(sent.len()), unreadable: None };
        let mut smallest: Option<&[u8]> = None;
        for (index, der) in sent.iter().enumerate() {
            if sent[..index].contains(der) {
                continue;
            }
            match Certificate::parse(der) {
                Ok(certificate) => {
                    read.candidates.push(Candidate::new(certificate, Place::Intermediate(index)));
                }
                Err(fault) if smallest.is_none_or(|smallest| *der < smallest) => {
                    read.unreadable = Some(unreadable(Place::Intermediate(index), fault));
                    smallest = Some(der);
                }
                Err(_) => {}
            }
        }
        read
    }
}

impl<'s, 'a> Pool<'s, 'a> {
    pub(super) fn new(anchors: &'s Anchors, intermediates: &'s Intermediates<'a>) -> Self {
        let sent = intermediates.candidates.iter();
        let others: Vec<_> = sent.filter(|candidate| !anchors.contain(&candidate.certificate.der)).collect();
        let alone = intermediates.unreadable.as_ref().filter(|_| others.is_empty());
        let unreadable = anchors.unreadable.as_ref().or(alone);
        Self { anchors, others, unreadable }
    }

    /// Authorities first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &'s Candidate<'a>> {
        let anchors = self.anchors.candidates.iter().map(|anchor| -> &'s Candidate<'a> { anchor });
        anchors.chain(self.others.iter().copied())
    }

    /// What could not be read, and so may be why there is no path.
    pub(super) fn unreadable(&self) -> Option<&'s Rejection> {
        self.unreadable
    }
}

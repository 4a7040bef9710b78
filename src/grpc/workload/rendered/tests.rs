use std::sync::Arc;

use tokio::time::Instant;

use super::*;
use crate::federation::trust_feed::Generation;
use crate::outputs::selection::Selected;
use crate::spiffe::authority::{Authority, X509Authority};
use crate::spiffe::fixtures::FIXTURES;
use crate::support::ca::{Ca, KeyType, authority};

fn view(own: &str, bundles: impl IntoIterator<Item = (String, Vec<Authority>)>) -> Arc<View> {
    let bundle = |(name, authorities): (String, Vec<Authority>)| {
        let domain: TrustDomain = name.parse().unwrap();
        let bundle = Bundle::new(domain.clone(), authorities.into_iter().collect(), Some(1), None);
        (domain, Arc::new(bundle))
    };
    let selected = Selected { bundles: bundles.into_iter().map(bundle).collect(), ..Selected::default() };
    let generation = Generation { number: 1, since: Instant::now() };
    Arc::new(View { trust_domain: own.parse().unwrap(), selected, generation })
}

fn x509_ids(rendered: &Rendered) -> Vec<(String, usize)> {
    let message = X509BundlesResponse::decode(&rendered.x509[PREFIX_BYTES..]).unwrap();
    let count = |der: &[u8]| {
        let mut rest = der;
        let mut count = 0;
        while !rest.is_empty() {
            rest = x509_parser::parse_x509_certificate(rest).unwrap().0;
            count += 1;
        }
        count
    };
    message.bundles.iter().map(|(id, der)| (id.clone(), count(der))).collect()
}

fn shown<const N: usize>(expected: [(&str, usize); N]) -> Vec<(String, usize)> {
    expected.map(|(id, count)| (id.to_owned(), count)).into()
}

#[test]
fn wl_07_wl_10_our_own_domain_is_there_without_a_key_that_verifies_and_others_are_not() {
    let bundles = [("b", vec![FIXTURES[1].x509()]), ("c", vec![FIXTURES[2].jwt("k")]), ("d", vec![])];
    let rendered = Rendered::new(&view("own", bundles.map(|(name, keys)| (name.to_owned(), keys))));
    assert_eq!(x509_ids(&rendered), shown([("spiffe://b", 1), ("spiffe://own", 1)]));
    let x509 = X509BundlesResponse::decode(&rendered.x509[PREFIX_BYTES..]).unwrap().bundles;
    let (_, ours) = x509_parser::parse_x509_certificate(&x509["spiffe://own"]).unwrap();
    assert_eq!(ours.validity().not_after.timestamp(), 86_400, "it has ended");
    let jwt = JwtBundlesResponse::decode(&rendered.jwt[PREFIX_BYTES..]).unwrap().bundles;
    assert_eq!(jwt.keys().collect::<Vec<_>>(), ["spiffe://c", "spiffe://own"]);
    assert_eq!(jwt["spiffe://own"], br#"{"keys":[]}"#);
}

/// Measured with RSA-4096: 2.7 MB and 5.5 MB.
#[test]
fn wl_18_500_domains_of_four_rsa_authorities_fit_into_the_usual_limit_and_1000_do_not() {
    let large = Ca::with_key("b.example", KeyType::Rsa4096);
    let reissued: Vec<_> = (0..4)
        .map(|_| large.reissued(authority("bank-b.example root", &["spiffe://bank-b.example"])))
        .map(|ca| Authority::X509(X509Authority::from_der(ca.der()).unwrap()))
        .collect();
    let bytes = |count: usize| {
        let bundles = (0..count).map(|number| (format!("bank-{number}.example"), reissued.clone()));
        Rendered::new(&view("own", bundles)).x509.len()
    };
    let (small, large) = (bytes(500), bytes(1000));
    println!("500 domains of 4 RSA-4096 CAs: {small} bytes; 1,000: {large} bytes");
    assert!(small < USUAL_LIMIT && USUAL_LIMIT < large, "{small} {large}");
}

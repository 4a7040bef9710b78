//! Our account with an ACME server, as the store keeps it (RFC 8555 §7.3).

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, HttpClient, NewAccount};
use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::store::error::StoreError;

use super::AcmeSettings;
use super::error::AcmeError;

/// It has no `Debug`, because of the key in it.
#[derive(Serialize, Deserialize)]
struct KeptAccount {
    directory: String,
    /// Of the external account.
    key_id: Option<String>,
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The account that is kept for these settings, else a new one, which is kept from now on.
pub(super) async fn open(
    settings: &AcmeSettings,
    store: &dyn Store,
    client: Box<dyn HttpClient>,
) -> Result<Account, AcmeError> {
    match kept(settings, store).await? {
        Some(kept) => reopen(settings, kept, store, client).await,
        None => register(settings, store, client).await,
    }
}

/// Has the next attempt register anew.
pub(super) async fn forget(store: &dyn Store) -> Result<(), StoreError> {
    store.put_secret(ACCOUNT, b"").await
}

async fn kept(settings: &AcmeSettings, store: &dyn Store) -> Result<Option<KeptAccount>, StoreError> {
    let kept = store.secret(ACCOUNT).await?;
    let kept = kept.and_then(|kept| serde_json::from_slice::<KeptAccount>(&kept).ok());
    let key_id = settings.external_account.as_ref().map(|account| &account.key_id);
    Ok(kept.filter(|kept| kept.directory == settings.directory.to_string() && kept.key_id.as_ref() == key_id))
}

async fn reopen(
    settings: &AcmeSettings,
    mut kept: KeptAccount,
    store: &dyn Store,
    client: Box<dyn HttpClient>,
) -> Result<Account, AcmeError> {
    let is_current = kept.contact == settings.contact;
    kept.contact.clone_from(&settings.contact);
    let record = record(&kept);
    let account = Account::builder_with_http(client).from_credentials(kept.credentials).await?;
    if !is_current {
        account.update_contacts(&texts(&settings.contact)).await?;
        store.put_secret(ACCOUNT, &record).await?;
    }
    Ok(account)
}

async fn register(
    settings: &AcmeSettings,
    store: &dyn Store,
    client: Box<dyn HttpClient>,
) -> Result<Account, AcmeError> {
    let contact = texts(&settings.contact);
    // The configuration is refused unless somebody agreed to them in it.
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = settings.external_account.as_ref();
    let external_key = external.map(|account| ExternalAccountKey::new(account.key_id.clone(), &account.hmac_key));
    let directory = settings.directory.to_string();
    let builder = Account::builder_with_http(client);
    let (account, credentials) = builder.create(&wanted, directory.clone(), external_key.as_ref()).await?;
    let key_id = external.map(|account| account.key_id.clone());
    let kept = KeptAccount { directory, key_id, contact: settings.contact.clone(), credentials };
    store.put_secret(ACCOUNT, &record(&kept)).await?;
    Ok(account)
}

fn record(kept: &KeptAccount) -> Vec<u8> {
    serde_json::to_vec(kept).expect("texts and a list of them have a JSON form")
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

const ACCOUNT: &str = "acme-account";

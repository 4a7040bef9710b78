//! Which object, in whose storage, and by what right.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::{Host, Url};

use crate::files::trusted;

use super::ObjectStorageError;

/// An object, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectPlace {
    /// `s3`, `gs` or `az` with a bucket, or `file`.
    pub(crate) url: Url,
    /// Where a storage of that kind is, if not at its inventor's.
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    /// Lines of `NAME=value`, read before each delivery.
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) environment: Variables,
}

/// A place ready for use. Files are ours to write: the library would leave them the service's umask.
pub(super) enum Opened {
    File(PathBuf),
    Object(Box<dyn ObjectStore>, Path),
}

/// Variables such as `AWS_ACCESS_KEY_ID`, in lower case. Their values are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Those that cloud storages go by.
    pub(crate) fn of<'a>(environment: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let is_known = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let all = environment.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        Self(all.filter(|(name, _)| is_known(name)).collect())
    }

    fn read(text: &str) -> Result<Self, ObjectStorageError> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let told = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let variable = |(line, text): (usize, &str)| {
            let (name, value) = text.split_once('=').ok_or(ObjectStorageError::Credentials { line })?;
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        };
        told.map(variable).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ObjectPlace {
    /// A client for it, with the credentials of this moment.
    pub(super) async fn open(&self) -> Result<Opened, ObjectStorageError> {
        if let Some(file) = self.url.to_file_path().ok().filter(|_| self.url.scheme() == "file") {
            return Ok(Opened::File(file));
        }
        let variables = self.variables().await?;
        let (scheme, path) = ObjectStoreScheme::parse(&self.url).map_err(object_store::Error::from)?;
        Ok(Opened::Object(self.client(scheme, variables)?, path))
    }

    async fn variables(&self) -> Result<Variables, ObjectStorageError> {
        let mut variables = self.environment.clone();
        if let Some(file) = self.credentials_file.clone() {
            let read = tokio::task::spawn_blocking(move || trusted::read(&file, MAX_CREDENTIALS));
            let bytes = read.await.map_err(|_| ObjectStorageError::Interrupted)?;
            let text = String::from_utf8_lossy(&bytes.map_err(ObjectStorageError::CredentialsFile)?).into_owned();
            variables.0.extend(Variables::read(&text)?.0);
        }
        Ok(variables)
    }

    fn client(
        &self,
        scheme: ObjectStoreScheme,
        Variables(variables): Variables,
    ) -> Result<Box<dyn ObjectStore>, ObjectStorageError> {
        macro_rules! built {
            ($builder:ty, $endpoint:expr) => {{
                let builder = variables.iter().fold(<$builder>::new(), |builder, (name, value)| match name.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
                let builder = self.endpoint.iter().fold(builder, |it, endpoint| it.with_config($endpoint, endpoint));
                let options = client_options(builder.get_config_value(&$endpoint))?;
                builder.with_url(self.url.as_str()).with_client_options(options).with_retry(retry())
            }};
        }
        match scheme {
            ObjectStoreScheme::GoogleCloudStorage => {
                Ok(Box::new(built!(GoogleCloudStorageBuilder, GoogleConfigKey::BaseUrl).build()?))
            }
            ObjectStoreScheme::MicrosoftAzure => {
                Ok(Box::new(built!(MicrosoftAzureBuilder, AzureConfigKey::Endpoint).build()?))
            }
            _ => {
                let builder = built!(AmazonS3Builder, AmazonS3ConfigKey::Endpoint);
                let builder = self.region.iter().fold(builder, |builder, region| builder.with_region(region));
                Ok(Box::new(builder.build()?))
            }
        }
    }
}

/// Without TLS only to this machine itself: whoever is on the way would decide whom our peers trust.
fn client_options(endpoint: Option<String>) -> Result<ClientOptions, ObjectStorageError> {
    let is_plain = endpoint.as_ref().is_some_and(|endpoint| !endpoint.starts_with("https://"));
    match endpoint {
        Some(endpoint) if is_plain && !is_loopback(&endpoint) => Err(ObjectStorageError::PlainHttp { endpoint }),
        _ => Ok(ClientOptions::new()
            .with_allow_http(is_plain)
            .with_connect_timeout(Duration::from_secs(5))
            .with_timeout(Duration::from_secs(20))),
    }
}

/// Whether a URL is one of this machine.
pub(crate) fn is_loopback(url: &str) -> bool {
    match url.parse::<Url>().as_ref().map(Url::host) {
        Ok(Some(Host::Ipv4(address))) => address.is_loopback(),
        Ok(Some(Host::Ipv6(address))) => address.is_loopback(),
        Ok(Some(Host::Domain(name))) => name == "localhost",
        _ => false,
    }
}

/// Once more for what the network lost; whatever else is left to the next delivery.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() }
}

const PREFIXES: [&str; 3] = ["aws_", "azure_", "google_"];
const MAX_CREDENTIALS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::Coded as _;

    fn place(url: &str, endpoint: Option<&str>, environment: &[(&str, &str)]) -> ObjectPlace {
        let environment: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        ObjectPlace {
            url: url.parse().unwrap(),
            endpoint: endpoint.map(Into::into),
            region: None,
            credentials_file: None,
            environment: Variables::of(&environment),
        }
    }

    #[tokio::test]
    async fn nothing_goes_unencrypted_to_another_machine() {
        // The clients of storages want one.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let plain = Some("object-storage-endpoint");
        for (url, endpoint, environment, expected) in [
            ("s3://b/x.json", None, &[][..], None),
            ("s3://b/x.json", Some("https://minio.example"), &[], None),
            ("s3://b/x.json", Some("http://127.0.0.1:9000"), &[], None),
            ("s3://b/x.json", Some("http://minio.example"), &[], plain),
            ("s3://b/x.json", Some("http://127.0.0.1.example"), &[], plain),
            ("s3://b/x.json", None, &[("AWS_ENDPOINT_URL", "http://minio.example"), ("AWS_ALLOW_HTTP", "true")], plain),
            ("s3://b/x.json", Some("https://minio.example"), &[("AWS_ENDPOINT_URL", "http://minio.example")], None),
            ("az://b/x.json", Some("http://minio.example"), &[("AZURE_STORAGE_ACCOUNT_NAME", "x")], plain),
            ("gs://b/x.json", Some("http://minio.example"), &[], plain),
        ] {
            let opened = place(url, endpoint, environment).open().await;
            let code = opened.err().map(|error| error.code());
            assert_eq!(code, expected, "{url} {endpoint:?} {environment:?}");
        }
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        let place = place("s3://b/x.json", None, &[("AWS_SECRET_ACCESS_KEY", "geheim"), ("HOME", "/root")]);
        let shown = format!("{place:?}");
        assert!(shown.contains("aws_secret_access_key") && !shown.contains("geheim") && !shown.contains("home"));
        let read = Variables::read("# mine\n\nAWS_ACCESS_KEY_ID = a\nAWS_SECRET_ACCESS_KEY=b=c\n").unwrap();
        assert_eq!(read.0.values().collect::<Vec<_>>(), ["a", "b=c"]);
        let refused = Variables::read("A=b\nsecret").unwrap_err();
        assert!(matches!(refused, ObjectStorageError::Credentials { line: 2 }), "{refused}");
    }
}

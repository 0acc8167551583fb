//! An authority that the certificates of tests come from, and clients that trust it and nobody else.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

/// A root, and one below it that signs.
pub struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    below: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its chain, and its key, in PEM.
pub struct Made {
    pub chain: String,
    pub key: String,
    /// The certificate itself.
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let root = CertifiedIssuer::self_signed(authority("the root"), KeyPair::generate().unwrap()).unwrap();
        let below = CertifiedIssuer::signed_by(authority("below it"), KeyPair::generate().unwrap(), &root).unwrap();
        Self { root, below }
    }

    /// A certificate for this machine, good for today.
    pub fn make(&self) -> Made {
        self.make_with(&KeyPair::generate().unwrap(), |_| {})
    }

    /// The same with that key, and whatever else is wanted.
    pub fn make_with(&self, key: &KeyPair, wanted: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        wanted(&mut params);
        let made = params.signed_by(key, &self.below).unwrap();
        Made { chain: made.pem() + &self.below.pem(), key: key.serialize_pem(), der: made.der().to_vec() }
    }

    /// The certificate of the root, in PEM.
    pub fn root(&self) -> String {
        self.root.pem()
    }

    pub fn client(&self) -> Arc<ClientConfig> {
        self.client_of(&[&version::TLS13, &version::TLS12])
    }

    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_protocol_versions(versions).unwrap();
        Arc::new(config.with_root_certificates(roots).with_no_client_auth())
    }
}

impl Made {
    /// Writes both files into the folder, and says which settings name them.
    pub fn write(&self, dir: &Path) -> [(&'static str, String); 2] {
        let (chain, key) = (dir.join("chain.pem"), dir.join("key.pem"));
        fs::write(&chain, &self.chain).unwrap();
        fs::write(&key, &self.key).unwrap();
        [("ROLLBOOK_TLS_CERT", chain), ("ROLLBOOK_TLS_KEY", key)].map(|(name, path)| (name, path.display().to_string()))
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

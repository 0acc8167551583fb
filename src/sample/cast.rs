//! Who appears in sample events.

/// An invented person.
#[derive(Debug, Clone, Copy)]
pub struct Person {
    /// First name.
    pub first: &'static str,
    /// Last name.
    pub last: &'static str,
    /// User name, if one was chosen.
    pub username: Option<&'static str>,
    /// E-mail address.
    pub email: &'static str,
    /// Phone number (E.164), if one was given; its owner uses it as second factor.
    pub phone: Option<&'static str>,
    /// The id the person has in another system.
    pub external_id: Option<&'static str>,
    /// Whether the account was made with Google; else with a password.
    pub google: bool,
    /// Where requests come from.
    pub ip: &'static str,
    /// The town, as looked up from the address.
    pub city: &'static str,
    /// The country, as looked up from the address.
    pub country: &'static str,
    /// The browser, as it names itself.
    pub user_agent: &'static str,
}

/// An invented organisation.
#[derive(Debug, Clone, Copy)]
pub struct Organization {
    /// Its name.
    pub name: &'static str,
    /// Its name in URLs.
    pub slug: &'static str,
    /// Its e-mail domain.
    pub domain: &'static str,
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";
const EDGE: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0";

/// The people.
pub const PEOPLE: [Person; 8] = [
    Person {
        first: "Ines",
        last: "Duarte",
        username: Some("ines"),
        email: "ines.duarte@example.org",
        phone: Some("+15555550142"),
        external_id: Some("crm-1041"),
        google: false,
        ip: "192.0.2.41",
        city: "Porto",
        country: "Portugal",
        user_agent: FIREFOX,
    },
    Person {
        first: "Tomasz",
        last: "Wilk",
        username: None,
        email: "t.wilk@example.com",
        phone: None,
        external_id: None,
        google: true,
        ip: "198.51.100.17",
        city: "Gdynia",
        country: "Poland",
        user_agent: EDGE,
    },
    Person {
        first: "Noor",
        last: "Haddad",
        username: Some("noor_h"),
        email: "noor@clinic.example.org",
        phone: Some("+15555550108"),
        external_id: None,
        google: false,
        ip: "203.0.113.80",
        city: "Leiden",
        country: "Netherlands",
        user_agent: SAFARI,
    },
    Person {
        first: "Zoë",
        last: "Brännström",
        username: None,
        email: "zoe.b@example.org",
        phone: None,
        external_id: Some("crm-1187"),
        google: true,
        ip: "192.0.2.203",
        city: "Umeå",
        country: "Sweden",
        user_agent: SAFARI,
    },
    Person {
        first: "Kofi",
        last: "Aidoo",
        username: Some("kofi"),
        email: "kofi.aidoo@example.com",
        phone: None,
        external_id: None,
        google: false,
        ip: "198.51.100.164",
        city: "Kumasi",
        country: "Ghana",
        user_agent: FIREFOX,
    },
    Person {
        first: "Mirela",
        last: "Ionescu-Vlad",
        username: Some("mirela"),
        email: "mirela@example.org",
        phone: Some("+15555550177"),
        external_id: None,
        google: false,
        ip: "203.0.113.9",
        city: "Cluj-Napoca",
        country: "Romania",
        user_agent: EDGE,
    },
    Person {
        first: "Bo",
        last: "O'Leary",
        username: None,
        email: "bo.oleary@example.com",
        phone: None,
        external_id: None,
        google: true,
        ip: "192.0.2.118",
        city: "Galway",
        country: "Ireland",
        user_agent: SAFARI,
    },
    Person {
        first: "さくら",
        last: "森",
        username: Some("sakura.mori"),
        email: "sakura@example.org",
        phone: None,
        external_id: Some("crm-1302"),
        google: false,
        ip: "203.0.113.233",
        city: "Matsumoto",
        country: "Japan",
        user_agent: FIREFOX,
    },
];

/// The organisations.
pub const ORGANIZATIONS: [Organization; 3] = [
    Organization { name: "Harbour Clinic", slug: "harbour-clinic", domain: "clinic.example.org" },
    Organization { name: "Lantern & Sons", slug: "lantern-and-sons", domain: "lantern.example.com" },
    Organization { name: "North Quay Physio", slug: "north-quay-physio", domain: "northquay.example.org" },
];

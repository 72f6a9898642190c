"""The keys of well-known services, as data: how each begins, and what of it is secret."""

from __future__ import annotations

from otas_middleware._event.patterns import filled, rows
from otas_middleware._event.redact.sensitive_names import words

SLASH = r"(?:\\*/|%2[Ff]|%252[Ff]|\\+u002[Ff]|&#x2[Ff];)"
"""A slash as URLs, JSON and XML write it; for the probes too."""

PREFIXES: dict[str, tuple[int, str]] = {
    # services: (fewest characters that follow, the keys' beginnings)
    "Stripe, GitHub": (8, "sk_live_ sk_test_ rk_live_ rk_test_ sk_org_ whsec_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_"),
    "GitLab": (
        8,
        "glpat- glptt- gldt- glrt- glrtr- glcbt- glimt- glagent- glsoat- gloas- glffct- glft- glwt- GR1348941",
    ),
    "Slack": (8, "xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxc- xoxd- xoxe- xoxe. xapp- xwfp-"),
    "AWS, Google, Groq, xAI, Perplexity": (12, "AKIA ASIA ABIA ACCA AIza ya29. GOCSPX- GOOG1E AQ.Ab8 gsk_ xai- pplx-"),
    "Hugging Face, Replicate, NVIDIA, Cerebras, Together": (12, "hf_ api_org_ r8_ nvapi- csk- tgp_v1_"),
    "LangSmith, Langfuse, Tavily, SendGrid, Brevo": (12, "lsv2_pt_ lsv2_sk_ sk-lf- tvly- SG. xkeysib- xsmtpsib-"),
    "MailerSend, npm, PyPI, RubyGems, Docker": (12, "mlsn. npm_ pypi- rubygems_ dckr_pat_ dckr_oat_"),
    "DigitalOcean, Shopify": (12, "dop_v1_ doo_v1_ dor_v1_ shpat_ shpca_ shppa_ shpss_ shpua_ shptka_"),
    "Square": (12, "sq0csp- sq0atp- sq0idp- EAAAE EAAAl"),
    "Plaid": (12, "access-production- access-sandbox- access-development-"),
    "Flutterwave, Razorpay": (12, "FLWSECK- FLWSECK_TEST- FLWPUBK- rzp_live_ rzp_test_"),
    "Paddle, Polar": (12, "pdl_live_ pdl_sdbx_ pdl_ntfset_ polar_oat_ polar_pat_ polar_whs_"),
    "Stytch": (12, "secret-live- secret-test-"),
    "Shippo, EasyPost, Duffel": (12, "shippo_live_ shippo_test_ EZAK EZTK duffel_live_ duffel_test_"),
    "Vault, Doppler, Heroku": (12, "hvs. hvb. hvr. dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. HRKU-"),
    "Netlify, Fly.io, Supabase": (12, "nfp_ nfc_ nfo_ nfu_ nfb_ fm1_ fm2_ fm1r_ fm1a_ fo1_ sbp_ sb_secret_"),
    "PlanetScale, Tailscale": (12, "pscale_tkn_ pscale_pw_ pscale_oauth_ tskey-"),
    "Terraform, Pulumi, Prefect, Grafana": (12, "atlasv1. pul- pnu_ pnb_ glsa_ glc_"),
    "New Relic, Sentry, PostHog": (12, "NRAK- NRII- NRIQ- NRRA- NRSP- NRAA- sntrys_ sntryu_ sntrya_ phx_ phs_"),
    "Honeycomb, Honeybadger, Dynatrace": (12, "hcaik_ hcaic_ hcxik_ hcalk_ hcbik_ hbp_ dt0c01. dt0s01. dt0s02."),
    "Atlassian, Linear, Notion": (12, "ATATT3 ATCTT3 ATBB ATOA lin_api_ lin_oauth_ ntn_"),
    "Figma, Postman, Contentful": (12, "figd_ figo_ figoh_ figor_ PMAK- CFPAT-"),
    "HubSpot, Sourcegraph": (12, "pat-na1- pat-na2- pat-na3- pat-eu1- pat-ap1- sgp_"),
    "Buildkite, CircleCI, age, Alibaba": (12, "bkua_ bkpt_ bkct_ CCIPAT_ CCIPRJ_ AGE-SECRET-KEY- LTAI"),
    "SettleMint": (12, "sm_aat_ sm_pat_ sm_sat_"),
    "Fireworks, E2B, Jina, Firecrawl, Resend, Vercel": (16, "fw_ e2b_ jina_ fc- re_ vcp_ vci_ vca_ vcr_ vck_"),
    "Typeform, ReadMe, 1Password, Browserbase": (16, "tfp_ rdme_ ops_ey bb_live_ bb_test_"),
    "Trigger.dev, Inngest": (16, "tr_dev_ tr_prod_ tr_stg_ tr_pat_ signkey-prod- signkey-test- signkey-branch-"),
    "Unkey, Zuplo, Cal.com, Snyk": (16, "unkey_ zpka_ cal_live_ cal_test_ snyk_uat. snyk_sat."),
    "Octopus Deploy, Ory": (20, "API- ory_at_ ory_rt_ ory_ac_ ory_st_ ory_pat_ ory_apikey_"),
    "Confluent, Statsig, Modal": (20, "cflt secret- ak- as-"),
    "Mailgun, crates.io, Paystack, Clerk, ElevenLabs, Mollie": (24, "key- cio sk_ live_ test_"),
    "Databricks, Neon, Datadog, SonarQube, Dropbox": (24, "dapi dose dkea napi_ ddapp_ ddapi_ squ_ sqp_ sqa_ sl."),
    "Tencent, Facebook, Instagram, Braze, Klaviyo": (24, "AKID EAAB EAAC EAAG EAAM IGQV IGAA THAA pk_prod_ sk_prod_"),
    "Amazon Bedrock, Logfire, Weights & Biases, Apify": (24, "ABSK bedrock-api-key- pylf_v1_ wandb_v1_ apify_api_"),
    "Context7, Daytona, Render, MongoDB Atlas, dbt": (24, "ctx7sk- dtn_ rnd_ mdb_sa_sk_ dbtc_ dbtu_"),
    "Vercel Blob, Anyscale, LlamaCloud": (24, "vercel_blob_rw_ esecret_ llx-"),
    "RunPod, Friendli, Elastic, Intercom": (24, "rpa_ flp_ essu_ dG9rOj"),
    "NetBird, Defined Networking, Docker Swarm, Adobe, Adafruit": (24, "nbp_ dnkey- SWMTKN-1- p8e- aio_"),
    "Infracost, Rootly, Kaggle, OneSignal": (24, "ico- rootly_ KGAT_ os_v2_app_ os_v2_org_"),
    "Xata, Cursor, Socket": (24, "xau_ crsr_ sktsec_"),
    "Deno, Val Town, n8n, Portainer, Alchemy": (24, "ddp_ ddo_ vtwn_ n8n_api_ ptr_ alcht_"),
    "Midtrans, Xendit, Omise, ImageKit": (16, "Mid-server- xnd_production_ xnd_development_ skey_ private_"),
    "PubNub, Composio, Steel, Tally, LinkedIn": (16, "sec-c- ak_ ste- tly- WPL_AP1."),
    "Traceloop, VK, Yandex, Nostr, Agora": (40, "tl_ vk1.a. y0_ nsec1 007eJx"),
    "OpenAI's and Gemini's for clients": (24, "ek_ auth_tokens/"),
    "WooCommerce, OpenShift, Yandex, Pinecone, Mem0, Canva": (32, "ck_ cs_ sha256~ AQVN t1. pcsk_ m0- cnvca"),
    "Voyage, Clojars, Frame.io, Scalingo": (32, "pa- CLOJARS_ fio-u- tk-us-"),
    "NuGet, Cloudflare, JFrog, BIP 32 wallets": (40, "oy2 v1.0- cfut_ cfat_ AKCp cmVmdGtu xprv yprv zprv tprv"),
    "Airtable, Trello": (48, "pat ATTA"),
    "OpenAI, Anthropic, OpenRouter, DeepSeek and others": (12, "sk-"),
    "Notion, the older": (32, "secret_"),
    "Instacart, Ably and others": (16, "sdk-live- sdk-test-"),
    "whatever is marked so (RFC 8959)": (12, "secret-token:"),
}
"""What follows is of the base64url alphabet and dots; a body of plain words only is no key."""

WORDY = words(
    "API- aio_ ak- as- cflt cio ck_ cnvca cs_ dapi dkea dose fc- fw_ hf_ ico- key- live_ m0- ops_ey pa- "
    "ak_ private_ ptr_ sec-c- skey_ ste- tl_ tly- y0_ pat re_ rnd_ secret- secret_ sk- sk_ sl. t1. test_"
)
"""Beginnings that words have too: what follows must look as if made by chance."""

PUBLIC_KEY = r"(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-nistp\d{3}) AAAA[\w+/]{16,2048}={0,2}(?: [\w.@-]{1,64})?"
"""Of SSH, which is no secret under any name."""
REFERENCE = (
    r"arn:aws[a-z-]{0,16}:[a-z0-9-]{2,32}:[a-z0-9-]{0,24}:\d{0,12}:[\w/+=,.@:-]{1,160}|op://[\w ./-]{3,128}"
    r"|projects/[\w-]{1,64}/secrets/[\w-]{1,255}(?:/versions/\w{1,16})?|@Microsoft\.KeyVault\([^()]{1,200}\)"
)
"""Where a secret is kept, which is none either."""

_HASHES = (
    rf"\$(?:2[abxy]\$\d\d\$(?:[A-Za-z0-9.]|{SLASH}){{53}}|"
    r"(?:1|apr1)\$[A-Za-z0-9./]{1,8}\$[A-Za-z0-9./]{20,24}"
    r"|(?:[567y]|gy|argon2(?:id|i|d)|scrypt|pbkdf2(?:-sha\d{1,3})?|bcrypt-sha256)\$(?:[A-Za-z0-9./=,+_\-]{1,64}\$){1,4}"
    rf"(?:[A-Za-z0-9.+=]|{SLASH}){{16,256}})"
    rf"|(?:bcrypt_sha256|pbkdf2[_:]sha\d{{1,3}}[$:]\d{{1,8}}|scrypt:\d{{1,8}}:\d:\d)\$\w{{1,64}}\$(?:[\w.+=]|{SLASH}){{20,256}}"
    rf"|\{{S?SHA\d{{0,3}}\}}(?:[A-Za-z0-9+=]|{SLASH}){{20,128}}"
    rf"|SCRAM-SHA-\d{{1,3}}\$\d{{1,8}}:(?:[A-Za-z0-9+=$:]|{SLASH}){{40,256}}"
)
"""Of crypt(3), Django, Werkzeug, passlib, LDAP and PostgreSQL."""
_PARTS = {"slash": SLASH, "hashes": _HASHES}

# service, pattern of the probe, pattern of the key: two blanks apart, or in lines of their own; `(?<=` keeps what tells
# where it belongs
_KEYS_OF_SERVICES = r"""
Telegram bots  :AA[A-Za-z0-9_\-]  (?<![0-9])\d{8,10}:AA[\w-]{32,33}(?![\w-])
Telegram bots, in paths  bot[0-9]+(?::|%3A)  (?<=bot)\d{6,12}(?::|%3[Aa])[\w-]{20,64}
Discord bots  [MNO][A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.  (?<![\w.-])[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,40}(?![\w-])
Azure AD client secrets  [0-9]Q~  (?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}(?![\w~-])
Google refresh tokens and codes  [14]<slash><slash>?0  (?<![A-Za-z0-9/])(?:1<slash>|4)<slash>0[\w-]{16,256}
Firebase  :APA91b  [\w-]{8,32}:APA91b[\w-]{20,256}
Mailchimp  [0-9a-f]-us[0-9]  [0-9a-f]{32}-us\d{1,2}(?![0-9A-Za-z])
Twilio keys  SK[0-9a-f]  SK[0-9a-f]{32}(?![0-9A-Za-z])
Asana  [0-2]<slash>[0-9]  (?<![0-9A-Za-z/])[0-2]<slash>\d{15,17}(?:<slash>\d{15,17})?(?::|%3A)[0-9a-f]{32}
Mapbox, Grafana  sk\.ey|eyJrIjoi  (?:sk\.eyJ|eyJrIjoi)[\w.=-]{24,}
LaunchDarkly  (?:sdk|mob|api|rel)-[0-9a-f]{4}
    (?<![\w-])(?:sdk|mob|api|rel)-[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![\w-])
Salesforce sessions  00D[A-Za-z0-9]{9}  00D[A-Za-z0-9]{12,15}(?:!|%21)[\w.]{40,256}
ClickUp  pk_[0-9]+_[A-Z0-9]  pk_\d{4,12}_[A-Z0-9]{32}(?![A-Za-z0-9])
Azure DevOps, Functions, Search, Storage and others
    (?:A(?:ZDO|zFu|zSe|PIM|CDb|IoT)|\+A(?:Ba|MC|St|CR|Sb|Eh|Rm))[A-Za-z0-9]
    (?<![\w+/-])[\w+/-]{33,76}(?:A(?:ZDO|zFu|zSe|PIM|CDb|IoT)|\+A(?:Ba|MC|St|CR|Sb|Eh|Rm))
    [\w+/-]{4,10}={0,2}(?![\w+/=-])
AWS, a session's  IQoJb3JpZ2lu|FwoGZXIvYXdz  (?:IQoJb3JpZ2lu|FwoGZXIvYXdz)(?:[\w+=%-]|<slash>){60,4096}
Standard Webhooks  whsec_[A-Za-z0-9]  whsec_(?:[\w+=-]|<slash>){24,96}
Ably  \.[A-Za-z0-9_\-]{6}:  (?<![\w.-])[\w-]{6}\.[\w-]{6}:[\w-]{43}(?![\w-])
Bitwarden  0\.[0-9a-f]{8}-  (?<![\w.])0\.[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\.\w{30}:[\w+/]{22,24}={0,2}
Convex  (?:prod|dev|preview):[A-Za-z0-9:\-]+\|  (?:prod|dev|preview):[\w:-]{3,64}\|[\w+/=-]{40,512}
Zhipu  [0-9a-f]{12}\.[A-Za-z0-9]  [0-9a-f]{32}\.(?=[A-Za-z]*\d)[A-Za-z0-9]{16}(?![\w.-])
New Relic, licences  [0-9a-f]NRAL  (?:[0-9a-f]{36}|eu01xx[0-9a-f]{30})NRAL(?!\w)
Mailgun  [0-9a-f]-[0-9a-f]{8}-[0-9a-f]{8}  [0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?![\w-])
Kubernetes, over WebSocket  authorization\.k8s\.io  (?<=authorization\.k8s\.io\.)[\w=-]{8,4096}
answers to HTTP's digest challenge  response=\\*\"[0-9a-f]{16}
    (?:(?<=response=\")|(?<=response=\\\"))[0-9a-f]{32,128}(?![0-9A-Za-z])
Stripe, a payment's  _secret_[A-Za-z0-9]  (?:pi|seti|src|cs|pm)_[A-Za-z0-9]{1,64}_secret_[A-Za-z0-9]{16,64}
Okta  SSWS[ +]  (?<=SSWS[ +])00[\w-]{30,60}
Zoho  1000\.[0-9a-f]  (?<![A-Za-z0-9.])1000\.[0-9a-f]{32}\.[0-9a-f]{32}(?![A-Za-z0-9])
PayPal and Braintree  access_token\$  access_token\$(?:production|sandbox)\$[0-9a-z]{8,32}\$[0-9a-f]{32}(?![0-9a-f])
1Password  A3-[A-Z0-9]
    (?<![A-Za-z0-9\-])A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}(?![A-Za-z0-9\-])
Azure, newer keys  JQQJ9  [A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{27}(?![A-Za-z0-9])
Vault, the older; Harness; Infisical  (?:s|pat|sat|st)\.[A-Za-z0-9]
    (?<![\w.$\-])(?:s\.(?=[A-Za-z]*\d)[A-Za-z0-9]{24}
    |[ps]at\.[\w\-]{22}\.\w{24}\.\w{20}|st\.[\w\-]{8,36}\.\w{32}\.\w{32})(?![\w.(])
Matrix  syt_[A-Za-z0-9]  syt_[A-Za-z0-9][\w=+/-]{1,127}_[A-Za-z]{16,24}_[\w-]{6,8}
Twitter  AAAAAAAAAAAAAAAAAAA  A{18,24}[\w%]{16,64}(?:%3D|=)[\w%]{20,80}
Rancher  (?:token|kubeconfig)-[a-z0-9\-]+:  (?:token|kubeconfig)-[a-z0-9-]{3,32}:[a-z0-9]{52,64}(?![a-z0-9])
Unleash  :[a-z]+\.[0-9a-f]{16}  (?<![\w-])[\w-]{1,64}:[a-z]{2,32}\.[0-9a-f]{56,64}(?![0-9a-f])
ConfigCat  configcat-  configcat-(?:proxy|sdk-\d)<slash>[\w-]{22}<slash>[\w-]{22}(?![\w-])
seeds of Stellar and XRP  S[ABCD][A-Z2-7]{16}|sEd[1-9A-Za-z]
    (?:S[A-D][A-Z2-7]{54}|sEd[1-9A-HJ-NP-Za-km-z]{28})(?![A-Za-z0-9])
MaxMind  _mmk  [A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk(?![A-Za-z0-9])
K3s, RKE2  ::(?:server|node):  K10[0-9a-f]{64}::(?:server|node):[0-9a-f]{16,64}
PASETO  v[1-4]\.(?:local|public)\.  v[1-4]\.(?:local|public)\.[\w-]{40,8192}(?:\.[\w-]{1,2048})?
hashes of passwords
    \$(?:[1567y]|2[a-z]|gy|apr1|argon2[a-z]+|scrypt|pbkdf2[a-z0-9-]*|bcrypt-sha256)\$|pbkdf2[_:]|scrypt:|\{S?SHA|SCRAM-
    <hashes>
SSH2 keys  SSH2 ENCRYPTED  (?<=BEGIN SSH2 ENCRYPTED PRIVATE KEY ----)(?:[\w+/=:\s\\,.]|-(?!---)){8,16384}
PuTTY keys  Private-Lines
    (?<=Private-Lines: )\d{1,3}(?:\s|\\+[rn]){1,4}(?:[A-Za-z0-9+/=]{8,80}(?:\s|\\+[rn]){0,4}){1,64}
"""


def _bounded(key: str) -> str:
    """Return the pattern of a key in letters of ASCII, not behind a letter or digit unless it says itself where."""
    return f"(?a){key}" if key.startswith(("(?<", "(?:(?<", "\\")) else rf"(?a)(?<![A-Za-z0-9]){key}"


SPECIAL = {what: (filled(hint, _PARTS), _bounded(filled(key, _PARTS))) for what, hint, key in rows(_KEYS_OF_SERVICES)}
"""Patterns of the probe, and of keys in letters of ASCII; not behind a letter or digit, unless they say where."""

_WEBHOOKS: dict[str, str] = {
    # what → path, in which `<…>` is the secret; the host may stand in another field of an event
    "Slack": r"hooks\.slack\.com/(?:services|workflows|triggers)/<[A-Za-z0-9_\-]{1,64}(?:/[A-Za-z0-9_\-]{1,64}){1,4}>",
    "Slack, without its host": r"services/<T[A-Z0-9]{1,16}/B[A-Z0-9]{1,16}/[A-Za-z0-9]{3,64}>",
    "Discord": r"api(?:/v\d{1,2})?/webhooks/\d{15,21}/<[A-Za-z0-9_-]{20,100}>",
    "Microsoft Teams": r"IncomingWebhook/<[0-9A-Za-z]{16,64}(?:/[0-9A-Za-z-]{1,64}){0,2}>",
    "Zapier": r"hooks/catch/<\d{1,12}/[A-Za-z0-9]{5,64}>",
    "Make": r"hook\.(?:[a-z0-9]{1,6}\.)?(?:make|integromat)\.com/<[a-z0-9]{24,64}>",
    "IFTTT": r"with/key/<[A-Za-z0-9_-]{16,64}>",
    "Mattermost": r"hooks/<[a-z0-9]{26}(?![a-z0-9])>",
    "Rocket.Chat": r"hooks/<[A-Za-z0-9]{17,24}/[A-Za-z0-9]{32,128}>",
    "Feishu, WeCom": r"(?:bot/v2/hook|webhook/send)/<[A-Za-z0-9-]{16,64}>",
    "Zapier's MCP": r"api/mcp/s/<[A-Za-z0-9=_-]{24,128}>",
    "PagerDuty": r"integration/<[a-f0-9]{32}>/enqueue",
}


WEBHOOKS: dict[str, str] = {
    what: path.replace(">", ")").replace("<", "(?P<secret>").replace("/", SLASH) for what, path in _WEBHOOKS.items()
}
"""Patterns; the group `secret` is what is masked."""

WEBHOOKS_PROBE = (
    rf"services{SLASH}|hooks\.slack|webhook|Webhook|hooks{SLASH}|hook\.|with{SLASH}key|bot{SLASH}v2|integration{SLASH}"
    rf"|mcp{SLASH}s"
)

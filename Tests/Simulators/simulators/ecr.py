"""Amazon ECR (registries.md 11.1): a JSON API whose requests are signed, and a registry that takes a half day's password."""
import base64
import datetime

from . import sigv4
from .accounts import basic
from .content import sparse
from .places import Places
from .server import Response
from .simulator import Integration, Refusal, Simulator, route
from .v2 import VERSION, OpenPaths, basic_challenge, error

ACCOUNT, REGION = "123456789012", "eu-west-1"
TARGET = "AmazonEC2ContainerRegistry_V20150921."
CONTENT_TYPE = "application/x-amz-json-1.1"
RESULTS_DEFAULT, RESULTS_MAX, SHORT = 100, 1000, 10  # 1.2
PASSWORD_SECONDS = 12 * 3600
PULL = {"GetAuthorizationToken", "DescribeRepositories", "DescribeImages", "BatchGetImage", "GetDownloadUrlForLayer",
        "BatchCheckLayerAvailability", "ListImages"}


class ECR(OpenPaths, Simulator):
    vendor = "ecr"
    hosts = {"registry": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com", "api": f"api.ecr.{REGION}.amazonaws.com",
             "store": f"prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com"}
    users = {"full": "AKIAFULLRIGHTS000000", "minimum": "AKIAMINIMUMRIGHTS000", "readonly": "AKIAREADONLYRIGHTS00",
             "session": "ASIATEMPORARYKEY0000", "blind": "AKIABLINDRIGHTS00000"}
    blob_host = "store"
    counted = ""
    has_remote = True
    large = (3 * SHORT, 3 * SHORT)
    knobs = {
        "last-page": ("absent", "null"),  # nextToken at the end: both are in the examples of 11.1
        "throttle": ("400", "429"),  # 11.1: ThrottlingException is 400; other JSON services of AWS answer 429
        "expired-password": ("401", "403"),  # 3.2: either status is a failure of authentication
        "head-blob": ("redirected", "refused"),  # 11.1: ECR Public refuses HEAD
        "pages": ("short", "full"),  # a page may hold fewer than were asked for
    }

    def prepare(self):
        self.passwords = self.tokens(PASSWORD_SECONDS, prefix="eyJwYXlsb2FkIjoi", length=1800)
        self.places = Places(self.clock)
        self.image_status = {}  # digest: ARCHIVED, ACTIVATING; else ACTIVE
        self.session_ended = set()
        self.account("AKIAFULLRIGHTS000000", rights=PULL | {"DescribePullThroughCacheRules"})
        self.account("AKIAMINIMUMRIGHTS000", self.secret + "/min", areas={"shop", "upstream"}, rights=PULL | {"DescribePullThroughCacheRules"})
        # AWS's own read-only policy: the rules of pull-through caches are not among what it shows.
        self.account("AKIAREADONLYRIGHTS00", self.secret + "/ro", areas={"shop", "upstream"}, rights=PULL)
        self.account("AKIABLINDRIGHTS00000", self.secret + "/no", areas={"shop"}, rights={"GetAuthorizationToken"})
        self.account("ASIATEMPORARYKEY0000", self.secret + "/tmp", areas={"shop", "upstream"}, kind="session",
                     rights=PULL | {"DescribePullThroughCacheRules"})
        self.session_token = "IQoJb3JpZ2luX2VjE" + base64.b64encode((self.secret + "/session").encode()).decode()
        self.content.area("upstream", kind="remote")

    def integration(self, who="full"):
        name = self.users["full" if who == "wrong" else who]
        secret = self.secret + "/wrong" if who == "wrong" else self.accounts[name].secret
        return Integration(("--type", "ecr", "--url", self.url("registry"), *self.trust(), "--auth", "account", "--username", name,
                            "--password-stdin"), secret)

    def fill(self, repositories=3, tags=3):
        self.fill_area("shop", sparse(repositories), sparse(tags), distinct=True)
        content = self.content
        content.put("shop/archive", content.sample(3), "1.0", content="archived")
        self.image_status[content.sample(3).digest] = "ARCHIVED"
        content.put("shop/chart", content.sample(4), "1.0", content="helm")
        content.put("upstream/library/alpine", content.sample(5), "3.18")
        content.put("vault/private", content.sample(6), "1.0")

    # -- the JSON API

    def refusal(self, name, message, status=400):
        return Refusal(self.aws({"__type": name, "message": message}, status))

    @staticmethod
    def aws(document, status=200):
        response = Response.json(document, status, [("x-amzn-RequestId", "5f1c41d0-0000-4000-8000-000000000001")])
        response.headers[0] = ("Content-Type", CONTENT_TYPE)
        return response

    def judge(self, request, role):
        """All actions have one address: here each is a path of its own."""
        super().judge(request, role)
        if role != "api":
            return
        target = request.header("x-amz-target")
        if request.method == "POST" and request.target == "/" and target.startswith(TARGET):
            request.path = "/" + target[len(TARGET):]
        if request.header("content-type") != CONTENT_TYPE:
            self.violation(request, "11.1", f"Content-Type is not {CONTENT_TYPE}")

    def signed_by(self, request):
        """The account whose key signed the request."""
        keys = {one.name: sigv4.Key(one.name, one.secret, self.session_token if one.kind == "session" else "")
                for one in self.accounts.values()}
        now = datetime.datetime.fromtimestamp(self.clock.now(), datetime.timezone.utc)
        try:
            key = sigv4.verify(request.method, request.target, {name: request.header(name) for name, _ in request.headers}, request.body,
                               keys, REGION, "ecr", now)
        except sigv4.Refused as refused:
            self.refused(request, request.header("authorization").partition("/")[0])
            raise self.refusal(refused.name, refused.message) from None
        account = request.account = self.accounts[key.id]
        if account.name in self.session_ended:
            raise self.refusal("ExpiredTokenException", "The security token included in the request is expired")
        return account

    def arguments(self, request, action):
        """(account, arguments) of a call that the account may make."""
        account = self.signed_by(request)
        arguments = request.json()
        if not isinstance(arguments, dict):
            self.violation(request, "11.1", "the body is no JSON object")
            raise self.refusal("SerializationException", "")
        if action not in account.rights:
            raise self.refusal("AccessDeniedException", f"User: arn:aws:iam::{ACCOUNT}:user/tidewaiter is not authorized to perform: "
                               f"ecr:{action} on resource: * because no identity-based policy allows the ecr:{action} action")
        if arguments.get("registryId", ACCOUNT) != ACCOUNT:
            raise self.refusal("RepositoryNotFoundException", f"the registry with id '{arguments['registryId']}' does not exist")
        return account, arguments

    def listed(self, request, arguments, key, items, row):
        """A page of one of the Describe actions."""
        size = arguments.get("maxResults", RESULTS_DEFAULT)
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= RESULTS_MAX:
            self.violation(request, "1.2", f"maxResults={size!r} is not between 1 and {RESULTS_MAX}")
            raise self.refusal("InvalidParameterException", "Invalid parameter at 'maxResults' failed to satisfy constraint: "
                               f"'Member must have value less than or equal to {RESULTS_MAX}'")
        if self.knob["pages"] == "short":
            size = min(size, SHORT)
        token = arguments.get("nextToken")
        listing = (key, arguments.get("repositoryName"), str(arguments.get("filter")))
        start = self.places.find(token, listing) if token is not None else 0
        if start is None:
            self.violation(request, "11.1", "nextToken is none that this listing gave")
            raise self.refusal("InvalidParameterException", "Invalid parameter at 'nextToken' failed to satisfy constraint: 'invalid token'")
        page = self.page(request, items, start, size, str(listing), marker=True)
        document = {key: [row(one) for one in page.items]}
        if page.next is not None:
            document["nextToken"] = self.places.name(listing, page.next)
        elif self.knob["last-page"] == "null":
            document["nextToken"] = None
        return self.aws(document)

    def visible(self, account):
        return sorted((one for one in self.content.repositories.values() if account.may_read(self.content.areas[one.area])),
                      key=lambda one: one.name)

    @route("POST", "/GetAuthorizationToken", name="login", role="api")
    def get_authorization_token(self, request):
        account, _ = self.arguments(request, "GetAuthorizationToken")
        token = self.grant(request, self.passwords, account, "registry")
        text = base64.b64encode(f"AWS:{token.value}".encode()).decode()
        return self.aws({"authorizationData": [{"authorizationToken": text, "expiresAt": round(token.expires, 1),
                                                "proxyEndpoint": self.url("registry")}]})

    @route("POST", "/DescribeRepositories", name="repositories", role="api")
    def describe_repositories(self, request):
        account, arguments = self.arguments(request, "DescribeRepositories")
        return self.listed(request, arguments, "repositories", self.visible(account), self.repository_row)

    def repository_row(self, repository):
        return {"repositoryName": repository.name, "repositoryArn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/{repository.name}",
                "registryId": ACCOUNT, "repositoryUri": f"{self.hosts['registry']}/{repository.name}", "createdAt": 1.7e9,
                "imageTagMutability": "MUTABLE", "imageScanningConfiguration": {"scanOnPush": False},
                "encryptionConfiguration": {"encryptionType": "AES256"}}

    @route("POST", "/DescribeImages", name="tags", role="api")
    def describe_images(self, request):
        account, arguments = self.arguments(request, "DescribeImages")
        name = arguments.get("repositoryName")
        if not isinstance(name, str):
            self.violation(request, "11.1", "repositoryName is missing")
            raise self.refusal("InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: "
                               "'Member must not be null'")
        repository = self.content.repositories.get(name)
        if repository is None or repository not in self.visible(account):
            raise self.refusal("RepositoryNotFoundException", f"The repository with name '{name}' does not exist in the registry "
                               f"with id '{ACCOUNT}'")
        status = (arguments.get("filter") or {}).get("tagStatus", "ANY")
        rows = []
        for manifest, tags in repository.manifests().values():
            rows.append((manifest, [tag.name for tag in tags], tags[0].pushed))
            rows += [(child, [], tags[0].pushed) for child in manifest.children]
        rows = [one for one in rows if status == "ANY" or bool(one[1]) == (status == "TAGGED")]
        return self.listed(request, arguments, "imageDetails", rows, lambda one: self.image_row(repository, *one))

    def image_row(self, repository, manifest, tags, pushed):
        config = "application/vnd.cncf.helm.config.v1+json" if repository.content == "helm" else manifest.config_media_type
        row = {"registryId": ACCOUNT, "repositoryName": repository.name, "imageDigest": manifest.digest, "imageSizeInBytes": manifest.size,
               "imagePushedAt": round(pushed.timestamp(), 1), "imageManifestMediaType": manifest.media_type,
               "imageStatus": self.image_status.get(manifest.digest, "ACTIVE")}
        if tags:
            row["imageTags"] = tags
        if config:
            row["artifactMediaType"] = config
        return row

    @route("POST", "/DescribePullThroughCacheRules", name="rules", role="api")
    def describe_rules(self, request):
        _, arguments = self.arguments(request, "DescribePullThroughCacheRules")
        prefixes = sorted(one.name for one in self.content.areas.values() if one.kind == "remote")
        return self.listed(request, arguments, "pullThroughCacheRules", prefixes, lambda prefix: {
            "ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": "registry-1.docker.io", "createdAt": 1.7e9, "registryId": ACCOUNT})

    # -- the registry

    def docker_account(self, request):
        """The account that fetched the password; there is no other way in."""
        given = basic(request)
        if given is not None:
            name, password = given
            if name in self.accounts or any(one.secret == password for one in self.accounts.values()):
                self.violation(request, "11.1", "the access key itself was sent to the registry")
            token = self.passwords.get(password) if name == "AWS" else None
            if token is not None:
                request.account = token.account
                return token.account
            if name == "AWS" and self.passwords.knows(password):
                status = int(self.knob["expired-password"])
                raise Refusal(error(status, "DENIED", "Your authorization token has expired. Reauthenticate and try again.",
                                    [self.challenge()] if status == 401 else []))
            self.refused(request, given)
        raise Refusal(Response.text("Not Authorized\n", 401, [self.challenge(), VERSION]))

    def challenge(self):
        name, value = basic_challenge(self.url("registry") + "/")
        return name, value + ',service="ecr.amazonaws.com"'

    @route("GET|HEAD", "/v2/", name="ping", role="registry")
    def ping(self, request):
        self.docker_account(request)
        return Response.json({}, headers=[VERSION])

    def judge_n(self, request):
        n = request.parameter("n")
        if n is not None and (not n.isdigit() or int(n) > RESULTS_MAX):
            self.violation(request, "11.1", f"n={n} is not a number up to {RESULTS_MAX}")
            raise Refusal(error(400, "UNSUPPORTED", f"Invalid parameter at 'n': {n}"))

    @route("GET", "/v2/_catalog", name="catalog", role="registry")
    def catalog(self, request):
        account = self.docker_account(request)
        self.judge_n(request)
        return self.v2_catalog_of(request, [one.name for one in self.visible(account)])

    @route("GET", "/v2/(.+)/tags/list", name="v2-tags", role="registry")
    def tags_by_v2(self, request, name):
        repository = self.v2_repository(request, name)
        self.judge_n(request)
        return self.v2_listing(request, self.v2_tag_names(repository), self.catalog_default, self.catalog_cap, "reject",
                               lambda names: {"name": name, "tags": names}, request.raw_path)

    def v2_repository(self, request, name):
        account = self.docker_account(request)
        repository = self.content.repositories.get(name)
        if repository is None or repository not in self.visible(account):
            raise Refusal(error(404, "NAME_UNKNOWN", f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"))
        if "BatchGetImage" not in account.rights:
            raise Refusal(error(403, "DENIED", f"User is not authorized to perform: ecr:BatchGetImage on resource: {name}"))
        return repository

    @route(".*", "/v2/(.+)/blobs/([^/]+)", name="blob", role="registry")
    def blob(self, request, name, digest):
        if request.method == "HEAD" and self.knob["head-blob"] == "refused":
            self.v2_repository(request, name)
            return error(401, "UNAUTHORIZED", "Not Authorized")
        return self.v2_blob(request, name, digest)

    # -- errors

    def no_route(self, request):
        if request.role == "api":
            return self.aws({"__type": "UnknownOperationException"}, 400)
        return super().no_route(request)

    def failure(self, request, route_name, status):
        if request.role == "api":
            if status == 429:
                return self.aws({"__type": "ThrottlingException", "message": "Rate exceeded"}, int(self.knob["throttle"]))
            return self.aws({"__type": "ServerException", "message": "These errors are usually caused by a server-side issue."}, status)
        return super().failure(request, route_name, status)

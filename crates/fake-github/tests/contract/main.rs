//! The fake GitHub follows GitHub's contract in both layouts.

mod cloud {
    const LAYOUT: mergeline_fake_github::Layout = mergeline_fake_github::Layout::Cloud;
    include!("claims.rs");
}

mod enterprise_server {
    const LAYOUT: mergeline_fake_github::Layout = mergeline_fake_github::Layout::EnterpriseServer;
    include!("claims.rs");

    #[tokio::test]
    async fn enterprise_serves_only_api_v3_and_api_graphql() -> Result<()> {
        let fake = start().await?;
        fake.put(many(1));
        let root = fake.url().strip_suffix("/api/v3").context("the prefix")?.to_owned();
        let token = [("authorization", "Bearer ghp_right")];
        let status = async |method: &str, path: &str| -> Result<u16> {
            Ok(send_to(&format!("{root}{path}"), method, &token, "{}").await?.0.status)
        };
        assert_eq!(status("GET", "/api/v3/repos/acme/api").await?, 200);
        assert_eq!(status("POST", "/api/graphql").await?, 400, "no query");
        for (method, path) in [
            ("GET", "/repos/acme/api"),
            ("GET", "/api/repos/acme/api"),
            ("POST", "/graphql"),
            ("POST", "/api/v3/graphql"),
            ("POST", "/api/v3/api/graphql"),
        ] {
            assert_eq!(status(method, path).await?, 404, "{method} {path}");
        }
        Ok(())
    }
}

# Template of the formula: .github/scripts/homebrew-formula fills it in for each release, which has the result among its
# files. A tap, github.com/mergeline/homebrew-tap for example, has it as Formula/mergeline.rb.

class Mergeline < Formula
  desc "Team delivery metrics from GitHub"
  homepage "https://github.com/mergeline/mergeline"
  version "@VERSION@"
  license "Apache-2.0"

  on_macos do
    depends_on arch: :arm64
    url "https://github.com/mergeline/mergeline/releases/download/v@VERSION@/mergeline-@VERSION@-aarch64-apple-darwin.tar.gz"
    sha256 "@SHA256:aarch64-apple-darwin@"
  end

  on_linux do
    on_arm do
      url "https://github.com/mergeline/mergeline/releases/download/v@VERSION@/mergeline-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:aarch64-unknown-linux-gnu@"
    end
    on_intel do
      url "https://github.com/mergeline/mergeline/releases/download/v@VERSION@/mergeline-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:x86_64-unknown-linux-gnu@"
    end
  end

  # The private database of a laptop. Not used where DB_URL names another one.
  depends_on "postgresql@17"

  def install
    bin.install "mergeline"
    man1.install Dir["man/man1/*.1"]
    bash_completion.install "completions/mergeline.bash" => "mergeline"
    fish_completion.install "completions/mergeline.fish"
    zsh_completion.install "completions/_mergeline"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/mergeline --version")
    system bin/"mergeline", "teams", "schema"
  end
end

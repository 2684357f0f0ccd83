group "default" { targets = ["app", "db"] }
target "base" { dockerfile = "Dockerfile.base" }
target "app" {
  dockerfile = "Dockerfile.app"
  contexts = { base = "target:base" }
}
target "db" {
  dockerfile = "Dockerfile.db"
  contexts = { base = "target:base" }
}

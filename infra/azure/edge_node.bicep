// Sonica's edge node in one region of Azure: Container Apps behind TLS, keys from Key Vault. README.md says what is
// left to do by hand.

@description('Region of the nodes, the nearest to the listeners.')
param location string

@description('What the names of all resources start with.')
@minLength(2)
@maxLength(24)
param name string = 'sonica-edge'

@description('Container registry of this resource group that has the image sonica/edge-node.')
param registryName string

@description('Digest of that image, sha256:... with 64 hexadecimal digits; a tag is too short.')
@minLength(71)
@maxLength(71)
param imageDigest string

@description('Where bundles are published: s3://bucket/prefix.')
param bundleUrl string

@description('AWS region of that bucket.')
param bundleRegion string

@description('Who may publish: what `sonica bundles keygen` prints, two separated by a comma while keys change.')
param bundlePublicKeys string

@description('Whom a node asks for what its bundle does not know, without https://.')
param originHost string

@description('Key vault of this resource group, under Azure RBAC, that has the bundle reader\'s AWS keys.')
param keyVaultName string

@description('Name of the secret in it that has the AWS access key ID.')
param accessKeyIdSecret string

@description('Name of the secret in it that has the AWS secret access key.')
param secretAccessKeySecret string

@description('Name that listeners ask, such as edge.example.com; without one, the name that Azure gives.')
param domainName string = ''

@description('Resource ID of the certificate for it in the environment.')
param certificateId string = ''

@description('CPUs of a replica, each with 2 Gi of memory.')
@minValue(1)
@maxValue(4)
param cpus int = 1

@description('Replicas that there always are: one that starts must fetch its bundle first.')
@minValue(1)
@maxValue(1000)
param replicasMin int = 1

@description('Replicas that there are at most; what it may cost.')
@minValue(1)
@maxValue(1000)
param replicasMax int = 10

@description('Requests that a replica has at a time before another is started.')
@minValue(1)
param requestsPerReplica int = 16

@description('Days that log lines are kept.')
@minValue(30)
@maxValue(730)
param logDays int = 30

var port = 8000
var pullsImages = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '7f951dda-4ed3-4680-a7ca-43fe172d538d' // AcrPull
)
var readsSecrets = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '4633458b-17de-408a-b874-0445c86b69e6' // Key Vault Secrets User
)

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' existing = {
  name: registryName
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
  name: keyVaultName

  resource accessKeyId 'secrets' existing = {
    name: accessKeyIdSecret
  }

  resource secretAccessKey 'secrets' existing = {
    name: secretAccessKeySecret
  }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

resource mayPull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, identity.id, pullsImages)
  scope: registry
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: pullsImages
  }
}

resource mayReadId 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::accessKeyId.id, identity.id, readsSecrets)
  scope: vault::accessKeyId
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: readsSecrets
  }
}

resource mayReadKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault::secretAccessKey.id, identity.id, readsSecrets)
  scope: vault::secretAccessKey
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: readsSecrets
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: name
  location: location
  properties: {
    retentionInDays: logDays
    sku: { name: 'PerGB2018' }
  }
}

resource environment 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: name
  location: location
  properties: {
    appLogsConfiguration: { destination: 'azure-monitor' } // by the rule below, without the workspace's key
    workloadProfiles: [
      { name: 'Consumption', workloadProfileType: 'Consumption' }
    ]
  }
}

resource logging 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: name
  scope: environment
  properties: {
    workspaceId: logs.id
    logs: [
      { category: 'ContainerAppConsoleLogs', enabled: true }
      { category: 'ContainerAppSystemLogs', enabled: true }
    ]
  }
}

resource node 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        allowInsecure: false
        targetPort: port
        transport: 'auto'
        customDomains: empty(domainName)
          ? []
          : [{ name: domainName, certificateId: certificateId, bindingType: 'SniEnabled' }]
      }
      registries: [
        { server: registry.properties.loginServer, identity: identity.id }
      ]
      secrets: [
        {
          name: 'access-key-id'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/${accessKeyIdSecret}'
          identity: identity.id
        }
        {
          name: 'secret-access-key'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/${secretAccessKeySecret}'
          identity: identity.id
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: 45 // the notice, the requests under way
      containers: [
        // The user is the image's, 10001; Container Apps sets none of its own.
        {
          name: 'edge-node'
          image: '${registry.properties.loginServer}/sonica/edge-node@${imageDigest}'
          resources: { cpu: cpus, memory: '${2 * cpus}Gi' }
          env: [
            { name: 'AWS_ACCESS_KEY_ID', secretRef: 'access-key-id' }
            { name: 'AWS_SECRET_ACCESS_KEY', secretRef: 'secret-access-key' }
            { name: 'OMP_NUM_THREADS', value: string(cpus) } // or each library counts the host's CPUs
            { name: 'PYTHON_CPU_COUNT', value: string(cpus) }
            { name: 'SONICA_AWS_REGION', value: bundleRegion }
            { name: 'SONICA_BUNDLE_PUBLIC_KEYS', value: bundlePublicKeys }
            { name: 'SONICA_BUNDLE_URL', value: bundleUrl }
            { name: 'SONICA_ORIGIN_URL', value: 'https://${originHost}' }
            { name: 'SONICA_SHUTDOWN_NOTICE_SECONDS', value: '10' }
          ]
          probes: [
            // It listens once it has tried to fetch its bundle; ten failures are the most that Azure takes.
            {
              type: 'Startup'
              httpGet: { path: '/livez', port: port }
              periodSeconds: 15
              timeoutSeconds: 5
              failureThreshold: 10
            }
            {
              type: 'Readiness'
              httpGet: { path: '/readyz', port: port }
              periodSeconds: 5
              timeoutSeconds: 5
              failureThreshold: 2
            }
            {
              type: 'Liveness'
              httpGet: { path: '/livez', port: port }
              periodSeconds: 10
              timeoutSeconds: 5
              failureThreshold: 6
            }
          ]
        }
      ]
      scale: {
        minReplicas: replicasMin
        maxReplicas: replicasMax
        rules: [
          { name: 'requests', http: { metadata: { concurrentRequests: string(requestsPerReplica) } } }
        ]
      }
    }
  }
  dependsOn: [mayPull, mayReadId, mayReadKey]
}

@description('Name that Azure gives to the nodes, for the CNAME of domainName.')
output hostName string = node.properties.configuration.ingress.fqdn

@description('Value of the TXT record asuid.DOMAIN, by which Azure knows that the domain is yours.')
output verification string = node.properties.customDomainVerificationId
